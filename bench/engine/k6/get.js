// One GET with one check, as fast as it goes. The body is not looked at, so k6 is told to throw it away.
import http from 'k6/http';
import { check } from 'k6';

export const options = {
  scenarios: {
    get: { executor: 'constant-vus', vus: 100, duration: __ENV.DURATION || '10s', gracefulStop: '1s' },
  },
  discardResponseBodies: true,
  insecureSkipTLSVerify: true,
};

const url = `${__ENV.BASE_URL}/item`;
const checks = { 'status is 200': (res) => res.status === 200 };

export default function () {
  check(http.get(url, { tags: { name: 'item' } }), checks);
}
