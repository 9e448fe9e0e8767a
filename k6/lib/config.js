// The only reader of the environment: LADDER_* variables, validated; any error throws before the load.

// k6 lets these silently replace a script's scenarios: the load would not be the recorded one.
const OVERRIDES = ['K6_VUS', 'K6_DURATION', 'K6_STAGES', 'K6_ITERATIONS', 'K6_RPS'];

function required(name) {
  const value = __ENV[name];
  if (value === undefined || value === '') {
    throw new Error(`${name} is not set: this script is started by vcpu-ladder, or by hand with every LADDER_* variable`);
  }
  return value;
}

function number(name, low, high) {
  const value = Number(required(name));
  if (!Number.isFinite(value) || value < low || value > high) {
    throw new Error(`${name} = ${__ENV[name]} is not allowed: a number from ${low} to ${high}`);
  }
  return value;
}

function whole(name, low, high) {
  const value = number(name, low, high);
  if (!Number.isInteger(value)) {
    throw new Error(`${name} = ${__ENV[name]} is not allowed: a whole number`);
  }
  return value;
}

function word(name, allowed) {
  const value = required(name);
  if (!allowed.includes(value)) {
    throw new Error(`${name} = ${value} is not allowed: ${allowed.join(' | ')}`);
  }
  return value;
}

export function readConfig() {
  for (const name of OVERRIDES) {
    if (__ENV[name] !== undefined) {
      throw new Error(`${name} is set: it would silently replace the load; unset it`);
    }
  }
  const model = word('LADDER_MODEL', ['closed', 'open']);
  const warmupS = number('LADDER_WARMUP_S', 0, 3600);
  return {
    baseUrl: required('LADDER_BASE_URL'),
    model,
    users: model === 'closed' ? whole('LADDER_USERS', 1, 100000) : 0,
    rate: model === 'open' ? number('LADDER_RATE', 0.1, 100000) : 0,
    maxUsers: model === 'open' ? whole('LADDER_MAX_USERS', 1, 100000) : 0,
    rampS: number('LADDER_RAMP_S', 0, model === 'closed' ? warmupS : 0),
    warmupS,
    measureS: number('LADDER_MEASURE_S', 0.5, 36000),
    drainS: number('LADDER_DRAIN_S', 0, 60),
    timeoutS: number('LADDER_TIMEOUT_S', 1, 3600),
    seed: whole('LADDER_SEED', 0, 2 ** 31),
    summaryPath: required('LADDER_SUMMARY'),
  };
}

// What only the shop's script needs.
export function readRows() {
  return {
    users: whole('LADDER_ROWS_USERS', 1, 2 ** 31),
    products: whole('LADDER_ROWS_PRODUCTS', 1, 2 ** 31),
  };
}

// What only the studies' script needs: the path it calls, and the body that every answer must have.
export function readTarget() {
  const path = required('LADDER_PATH');
  if (!path.startsWith('/')) {
    throw new Error(`LADDER_PATH = ${path} is not allowed: a path begins with /`);
  }
  return { path, body: required('LADDER_BODY') };
}
