// Many VUs that mostly wait: what one costs while it does nothing.
import http from 'k6/http';
import { check, sleep } from 'k6';

export const options = {
  scenarios: {
    think: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: '8s', target: 10000 },
        { duration: '14s', target: 10000 },
      ],
      gracefulStop: '0s',
    },
  },
  discardResponseBodies: true,
};

const url = `${__ENV.BASE_URL}/item`;
const checks = { 'status is 200': (res) => res.status === 200 };

export default function () {
  check(http.get(url, { tags: { name: 'item' } }), checks);
  sleep(1);
}
