// Login, mint, list: each answer is looked into, and what was found there goes into the next request.
import http from 'k6/http';
import { check } from 'k6';

export const options = {
  scenarios: {
    flow: { executor: 'constant-vus', vus: 100, duration: __ENV.DURATION || '10s', gracefulStop: '1s' },
  },
};

const base = __ENV.BASE_URL;
const mint = JSON.stringify({ assetId: 1, title: 'Bench' });

function params(name, token) {
  const headers = { 'Content-Type': 'application/json' };
  if (token) {
    headers.Authorization = `Bearer ${token}`;
  }
  return { headers, tags: { name } };
}

export default function () {
  const credentials = JSON.stringify({ email: `user${__VU}@example.com`, password: 'secret' });
  const login = http.post(`${base}/api/auth/login`, credentials, params('login'));
  const token = login.json('token');
  check(login, {
    'login is 200': (res) => res.status === 200,
    'has a token': () => token.length > 10,
  });

  const minted = http.post(`${base}/api/nft/mint`, mint, params('mint', token));
  const nft = minted.json();
  check(minted, {
    'mint is 201': (res) => res.status === 201,
    'is minted': () => nft.status === 'minted',
  });

  const offer = JSON.stringify({ nftId: nft.nftId, priceUSD: 10 });
  const listed = http.post(`${base}/api/marketplace/list`, offer, params('list', token));
  check(listed, {
    'list is 201': (res) => res.status === 201,
    'is listed': (res) => res.json('status') === 'listed',
  });
}
