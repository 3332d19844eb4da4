// Users of a shop: requests over HTTP/2, and a WebSocket, over TLS. PORT is where Weir listens.

import http from 'k6/http';
import ws from 'k6/ws';
import { check } from 'k6';

const BASE = `shop.test:${__ENV.PORT}`;

export const options = {
  hosts: { 'shop.test': '127.0.0.1' },
  scenarios: {
    pages: { executor: 'shared-iterations', vus: 10, iterations: 500, maxDuration: '20s', exec: 'pages' },
    sockets: { executor: 'shared-iterations', vus: 5, iterations: 50, maxDuration: '20s', exec: 'sockets' },
  },
  thresholds: { checks: ['rate==1'], http_req_failed: ['rate==0'], iterations: ['count==550'] },
};

export function pages() {
  const answers = http.batch(['/hello', '/split/hello', '/bytes/10000'].map((path) => ['GET', `https://${BASE}${path}`]));
  check(answers, {
    'status 200': (all) => all.every((answer) => answer.status === 200),
    'over HTTP/2': (all) => all.every((answer) => answer.proto === 'HTTP/2.0'),
    'the whole body': (all) => all[2].body.length === 10000,
  });
  const upload = http.post(`https://${BASE}/upload`, 'x'.repeat(5000));
  check(upload, { 'the whole upload': (answer) => answer.json('length') === 5000 });
}

export function sockets() {
  const heard = [];
  const answer = ws.connect(`wss://${BASE}/ws`, null, (socket) => {
    socket.on('open', () => socket.send('first'));
    socket.on('message', (message) => {
      heard.push(message);
      if (heard.length < 5) socket.send(`message ${heard.length}`);
      else socket.close(1000);
    });
    socket.setTimeout(() => socket.close(), 10000);
  });
  check(answer, {
    'switched protocols': (response) => response && response.status === 101,
    'every message came back': () => heard.length === 5 && heard[4] === 'message 4',
  });
}
