// The shop's weighted mix: six endpoints, with the same n-th request in every stage.

import exec from 'k6/execution';
import http from 'k6/http';
import { sleep } from 'k6';
import { readConfig, readRows } from './lib/config.js';
import { Measure, summaryOf } from './lib/measure.js';
import { optionsOf } from './lib/options.js';
import { pick, placeOfHundred } from './lib/random.js';

const config = { ...readConfig(), rows: readRows() };

// Requests of each kind in a block of 100. Every block holds exactly this mix, in a different order, so
// that the share of upstream calls (35 %) adds no noise to a run of few requests. Writes are few because
// SQLite has one write lock, which an awaiting driver holds over several turns of a busy event loop: at
// 15 % without a pool the lock limited v2 (docs/decisions/0004-load-of-the-main-ladder.md).
const MIX = { light_read: 32, list: 15, join: 14, write: 4, upstream_read: 33, upstream_write: 2 };
const ENDPOINTS = Object.keys(MIX);
const BLOCK = ENDPOINTS.flatMap((name) => Array(MIX[name]).fill(name));
if (BLOCK.length !== 100) {
  throw new Error(`MIX adds up to ${BLOCK.length}, not to 100`);
}
const PAGE = 20;

export const options = optionsOf(config);

const measure = new Measure(config, ENDPOINTS);
const JSON_BODY = { headers: { 'Content-Type': 'application/json' } };

function basket(n) {
  const items = Array.from({ length: pick(config.seed, n, 4, 3) }, (_, i) => ({
    product_id: pick(config.seed, n, 10 + i, config.rows.products),
    quantity: pick(config.seed, n, 20 + i, 5),
  }));
  return JSON.stringify({ user_id: pick(config.seed, n, 3, config.rows.users), items });
}

// What to send as the n-th request, and what its answer must be.
function nthRequest(n) {
  const kind = BLOCK[placeOfHundred(config.seed, Math.floor(n / 100), n % 100)];
  const product = pick(config.seed, n, 1, config.rows.products);
  const key = `${config.seed}-${n}`;
  switch (kind) {
    case 'light_read':
      return { kind, path: `/products/${product}`, status: 200, right: (b) => b.id === product };
    case 'list': {
      const after = pick(config.seed, n, 2, Math.max(1, config.rows.products - PAGE)) - 1;
      const length = Math.min(PAGE, config.rows.products - after);
      return {
        kind,
        path: `/products?after=${after}&limit=${PAGE}`,
        status: 200,
        right: (b) => b.items.length === length && b.items[0].id === after + 1,
      };
    }
    case 'join':
      return {
        kind,
        path: `/products/${product}/sales`,
        status: 200,
        right: (b) => b.product_id === product && b.by_status.length > 0,
      };
    case 'write':
      return { kind, path: '/orders', body: basket(n), status: 201, right: (b) => b.order_id > 0 && b.status === 'pending' };
    case 'upstream_read':
      return {
        kind,
        path: `/products/${product}/quote?key=${key}`,
        status: 200,
        right: (b) => b.product_id === product && b.upstream_delay_ms > 0,
      };
    default:
      return {
        kind,
        path: `/checkout?key=${key}`,
        body: basket(n),
        status: 201,
        right: (b) => b.order_id > 0 && b.status === 'paid' && b.upstream_delay_ms > 0,
      };
  }
}

function bodyIsRight(request, response) {
  try {
    return request.right(response.json()) === true;
  } catch (_) {
    return false;
  }
}

export default function () {
  const request = nthRequest(exec.scenario.iterationInTest);
  // One name per endpoint: k6 would otherwise keep a metric series for every product id.
  const parameters = { timeout: `${config.timeoutS}s`, tags: { name: request.kind } };
  measure.start();
  const response = request.body
    ? http.post(config.baseUrl + request.path, request.body, { ...JSON_BODY, ...parameters })
    : http.get(config.baseUrl + request.path, parameters);
  const statusOk = response.status === request.status;
  measure.record(request.kind, response, statusOk, statusOk && bodyIsRight(request, response));
  if (response.status === 0) {
    sleep(0.5); // a service that is gone must not turn the load generator into a busy loop
  }
}

export function handleSummary(data) {
  return { [config.summaryPath]: JSON.stringify(summaryOf(data, config, ENDPOINTS), null, 1) };
}
