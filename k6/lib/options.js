// k6's own options, the same for every script: the load, what makes it invalid, and what its summary holds.

import { TREND_STATS, VALIDITY, scenarios } from './measure.js';

export function optionsOf(config) {
  return {
    scenarios: scenarios(config),
    thresholds: VALIDITY,
    summaryTrendStats: TREND_STATS,
    discardResponseBodies: false,
    userAgent: 'vcpu-ladder',
  };
}
