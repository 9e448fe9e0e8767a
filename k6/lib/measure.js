// What is measured, and when. A request counts if it COMPLETED inside the window
// [start + warm-up, start + warm-up + measure). In a steady state that is an unbiased sample: requests
// parked at the start of the window count in it, and those still parked at its end do not.
// (Why not two scenarios: docs/decisions/0002-one-scenario-one-window.md.)

import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';

const FAILURES = ['transport', 'timeout', '4xx', '500', '502', '503', '504', '5xx'];

export class Measure {
  constructor(config, endpoints) {
    this.config = config;
    this.endpoints = endpoints;
    this.started = new Counter('ladder_requests_started');
    this.requests = new Counter('ladder_requests');
    this.unanswered = new Counter('ladder_unanswered');
    this.completed = new Counter('ladder_completed');
    this.failed = new Counter('ladder_failed');
    this.wrong = new Counter('ladder_wrong_bodies');
    this.all = new Trend('ladder_latency_all', true);
    this.latency = {};
    this.failedBy = {};
    for (const name of endpoints) {
      this.latency[name] = new Trend(`ladder_latency_${name}`, true);
    }
    for (const kind of FAILURES) {
      this.failedBy[kind] = new Counter(`ladder_failed_${kind}`);
    }
  }

  // Called before a request is sent. Counted over the whole load, like `requests` and `unanswered`, to be
  // compared with the number of requests that the service's workers began.
  start() {
    this.started.add(1);
  }

  // `passed`: the status is the expected one and the body is right. Counters run from the start of the load,
  // so that a live view can read them; the figures are those of the window.
  record(endpoint, response, statusOk, bodyOk) {
    const passed = statusOk && bodyOk;
    this.requests.add(1);
    if (response.status === 0) {
      this.unanswered.add(1);
    }
    const at = Date.now() - exec.scenario.startTime;
    if (at < this.config.warmupS * 1000 || at >= (this.config.warmupS + this.config.measureS) * 1000) {
      return;
    }
    if (passed) {
      this.completed.add(1);
      this.all.add(response.timings.duration);
      this.latency[endpoint].add(response.timings.duration);
    } else {
      this.failed.add(1);
      (statusOk ? this.wrong : this.failedBy[kindOf(response)]).add(1);
    }
  }
}

function kindOf(response) {
  if (response.status === 0) {
    return response.error_code === 1050 ? 'timeout' : 'transport';
  }
  if (response.status < 500) {
    return '4xx';
  }
  return FAILURES.includes(String(response.status)) ? String(response.status) : '5xx';
}

export const TREND_STATS = ['count', 'avg', 'min', 'p(50)', 'p(90)', 'p(95)', 'p(99)', 'max'];

export function scenarios(config) {
  const duration = `${config.warmupS + config.measureS}s`;
  // After the window no request is started. Those in flight get a few seconds to finish, so that both sides
  // can count every request; they are in no figure.
  const common = { gracefulStop: `${config.drainS}s` };
  if (config.model === 'closed' && config.rampS > 0) {
    const steadyS = config.warmupS - config.rampS + config.measureS;
    const stages = [
      { duration: `${config.rampS}s`, target: config.users },
      { duration: `${steadyS}s`, target: config.users },
    ];
    return { load: { executor: 'ramping-vus', startVUs: 0, stages, gracefulRampDown: '0s', ...common } };
  }
  if (config.model === 'closed') {
    return { load: { executor: 'constant-vus', vus: config.users, duration, ...common } };
  }
  return {
    load: {
      executor: 'constant-arrival-rate',
      rate: Math.round(config.rate * 10),
      timeUnit: '10s',
      duration,
      // Allocate all of them up front: k6 drops a request when no user is ready, and only then adds one.
      preAllocatedVUs: config.maxUsers,
      maxVUs: config.maxUsers,
      ...common,
    },
  };
}

// Thresholds judge whether the run counts, never how fast it was.
export const VALIDITY = {
  ladder_wrong_bodies: ['count==0'],
  dropped_iterations: ['count==0'],
};

function count(metrics, name) {
  return metrics[name] ? metrics[name].values.count : 0;
}

function trend(metrics, name) {
  if (!metrics[name] || metrics[name].values.count === 0) {
    return null;
  }
  const values = metrics[name].values;
  return {
    n: values.count,
    mean_ms: values.avg,
    min_ms: values.min,
    p50_ms: values['p(50)'],
    p90_ms: values['p(90)'],
    p95_ms: values['p(95)'],
    p99_ms: values['p(99)'],
    max_ms: values.max,
  };
}

// The one JSON of a run. `schema` changes with its shape.
export function summaryOf(data, config, endpoints) {
  const metrics = data.metrics;
  const failures = {};
  for (const kind of FAILURES) {
    failures[kind] = count(metrics, `ladder_failed_${kind}`);
  }
  const latency = {};
  for (const name of endpoints) {
    latency[name] = trend(metrics, `ladder_latency_${name}`);
  }
  return {
    schema: 2,
    test_run_ms: data.state.testRunDurationMs,
    measure_s: config.measureS,
    requests_started: count(metrics, 'ladder_requests_started'),
    requests_total: count(metrics, 'ladder_requests'),
    requests_unanswered: count(metrics, 'ladder_unanswered'),
    completed: count(metrics, 'ladder_completed'),
    failed: count(metrics, 'ladder_failed'),
    wrong_bodies: count(metrics, 'ladder_wrong_bodies'),
    dropped: count(metrics, 'dropped_iterations'),
    failures,
    latency_all: trend(metrics, 'ladder_latency_all'),
    latency,
  };
}
