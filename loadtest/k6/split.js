// Users on a split while its weights change.
//
// Every virtual user speaks for a number of users, each with an X-User-Id of its own, and remembers where each of them was last.
// An operator walks the canary's weight up and back to 0 through the admin API in the middle of the run. Failing any of these
// fails the run: a request fails; a user moves against the direction of the change; a backend at weight 0 gets a request; a
// backend is never seen.
//
//   TARGET          proxy              http://127.0.0.1:8080
//   ADMIN           admin API          http://127.0.0.1:9900
//   ROUTE           route to steer     demo
//   STABLE, CANARY  its backends       stable, canary
//   BACKEND_HEADER  response header that names the backend   X-Backend
//   DURATION        seconds, or 30s, 2m                      30s
//   STEPS           weights of the canary in percent         5,25,50,100,0
//   VUS, USERS      virtual users, users of each             10, 50
//   P99_MS          bound on the 99th percentile             1000
//   GRACE_MS        time a change may take to be in force    500 (reload-storm measures it sharply)

import http from 'k6/http';
import { check, sleep } from 'k6';
import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';

const TARGET = __ENV.TARGET || 'http://127.0.0.1:8080';
const ADMIN = __ENV.ADMIN || 'http://127.0.0.1:9900';
const ROUTE = __ENV.ROUTE || 'demo';
const STABLE = __ENV.STABLE || 'stable';
const CANARY = __ENV.CANARY || 'canary';
const BACKEND_HEADER = canonical(__ENV.BACKEND_HEADER || 'X-Backend');
const SECONDS = seconds(__ENV.DURATION || '30s');
const STEPS = (__ENV.STEPS || '5,25,50,100,0').split(',').map(Number);
const USERS = Number(__ENV.USERS || 50);
const GRACE_MS = Number(__ENV.GRACE_MS || 500);

const weightsUrl = `${ADMIN}/v1/routes/${ROUTE}/weights`;
const backendRequests = new Counter('backend_requests');
const backendDuration = new Trend('backend_duration', true);
const switches = new Counter('user_switches');

export const options = {
  scenarios: {
    users: { executor: 'constant-vus', vus: Number(__ENV.VUS || 10), duration: `${SECONDS}s`, exec: 'user', gracefulStop: '5s' },
    operator: { executor: 'per-vu-iterations', vus: 1, iterations: 1, maxDuration: `${SECONDS}s`, exec: 'operator' },
  },
  thresholds: {
    http_req_failed: ['rate==0'],
    checks: ['rate==1'],
    'http_req_duration{kind:user}': [`p(99)<${__ENV.P99_MS || 1000}`],
    [`backend_requests{backend:${STABLE}}`]: ['count>0'],
    [`backend_requests{backend:${CANARY}}`]: ['count>0'],
    [`backend_duration{backend:${STABLE}}`]: ['p(99)>=0'],
    [`backend_duration{backend:${CANARY}}`]: ['p(99)>=0'],
  },
};

export function setup() {
  const before = http.get(weightsUrl).json('weights');
  setCanary(0);
  sleep(GRACE_MS / 1000);
  const start = Date.now();
  const gap = (SECONDS * 1000) / (STEPS.length + 1);
  const changes = STEPS.map((to, i) => ({ at: start + gap * (i + 1), from: i ? STEPS[i - 1] : 0, to }));
  return { before, changes };
}

export function teardown(data) {
  if (data.before) http.patch(weightsUrl, JSON.stringify({ weights: plain(data.before) }), json());
}

export function operator(data) {
  for (const change of data.changes) {
    sleep(Math.max(0, change.at - Date.now()) / 1000);
    setCanary(change.to);
  }
}

const homes = {}; // user → { backend, sent }: where a user of this virtual user was last, and when that was asked
let turn = 0;

export function user(data) {
  const id = `user-${exec.vu.idInTest}-${turn++ % USERS}`;
  const sent = Date.now();
  const answer = http.get(`${TARGET}/`, { headers: { 'X-User-Id': id }, tags: { kind: 'user', name: 'split' } });
  const seen = Date.now();
  const backend = answer.headers[BACKEND_HEADER] || 'unknown';
  backendRequests.add(1, { backend });
  backendDuration.add(answer.timings.duration, { backend });

  const last = homes[id];
  const moved = last !== undefined && last.backend !== backend;
  if (moved) switches.add(1, { to: backend });
  check(answer, {
    'status is 200': (r) => r.status === 200,
    'backend is known': () => backend === STABLE || backend === CANARY,
    'user moves only with the change': () => !moved || mayMove(data.changes, backend === CANARY, last.sent, seen),
    'no request for a backend at weight 0': () => backend !== CANARY || mayBeCanary(data.changes, sent, seen),
  });
  homes[id] = { backend, sent };
  sleep(Math.random() * 0.004);
}

// Whether a change in that direction was, or may have been, put in force between two moments.
function mayMove(changes, up, since, until) {
  return changes.some((c) => (up ? c.to > c.from : c.to < c.from) && c.at <= until && c.at + GRACE_MS >= since);
}

// Whether the canary had a weight above 0 at some moment between sending and seeing.
function mayBeCanary(changes, sent, seen) {
  return changes.some((c, i) => {
    const end = i + 1 < changes.length ? changes[i + 1].at : Infinity;
    return c.to > 0 && c.at <= seen && end + GRACE_MS >= sent;
  });
}

function setCanary(percent) {
  const weights = { [STABLE]: 100 - percent, [CANARY]: percent };
  const answer = http.patch(weightsUrl, JSON.stringify({ weights }), json());
  check(answer, { 'weights accepted, with an ETag': (r) => r.status === 200 && /^"r\d+"$/.test(r.headers['Etag'] || '') });
}

function json() {
  return { headers: { 'Content-Type': 'application/merge-patch+json' }, tags: { kind: 'operator' } };
}

// Weights as they are sent, whether they came as numbers or as objects with a weight.
function plain(weights) {
  return Object.fromEntries(Object.entries(weights).map(([name, w]) => [name, typeof w === 'object' ? w.weight : w]));
}

function seconds(text) {
  const [, number, unit] = /^(\d+)(s|m)?$/.exec(text);
  return Number(number) * (unit === 'm' ? 60 : 1);
}

// Header names as k6 spells them: X-Backend, whatever the case in BACKEND_HEADER.
function canonical(name) {
  return name.toLowerCase().replace(/(^|-)[a-z]/g, (c) => c.toUpperCase());
}
