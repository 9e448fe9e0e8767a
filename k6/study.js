// One path of a published study: every user requests it again as soon as it is answered.

import http from 'k6/http';
import { sleep } from 'k6';
import { readConfig, readTarget } from './lib/config.js';
import { Measure, summaryOf } from './lib/measure.js';
import { optionsOf } from './lib/options.js';

const config = readConfig();
const target = readTarget();
const ENDPOINTS = ['study'];

export const options = optionsOf(config);

const measure = new Measure(config, ENDPOINTS);
const PARAMETERS = { timeout: `${config.timeoutS}s`, tags: { name: 'study' } };

export default function () {
  measure.start();
  const response = http.get(config.baseUrl + target.path, PARAMETERS);
  const statusOk = response.status === 200;
  // Every request is the same and only reads, so every right answer is the same, byte for byte.
  measure.record('study', response, statusOk, statusOk && response.body === target.body);
  if (response.status === 0) {
    sleep(0.5); // a service that is gone must not turn the load generator into a busy loop
  }
}

export function handleSummary(data) {
  return { [config.summaryPath]: JSON.stringify(summaryOf(data, config, ENDPOINTS), null, 1) };
}
