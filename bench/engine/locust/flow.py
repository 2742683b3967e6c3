"""Login, mint, list: each answer is looked into, and what was found there goes into the next request."""

from itertools import count

from locust import FastHttpUser, constant, task

numbers = count(1)


class Member(FastHttpUser):
    wait_time = constant(0)

    def on_start(self) -> None:
        self.email = f"user{next(numbers)}@example.com"

    @task
    def offer(self) -> None:
        credentials = {"email": self.email, "password": "secret"}
        with self.client.post(
            "/api/auth/login", json=credentials, name="login", catch_response=True
        ) as response:
            token = response.json()["token"]
            if response.status_code != 200 or len(token) <= 10:
                response.failure("login")
        bearer = {"Authorization": f"Bearer {token}"}
        with self.client.post(
            "/api/nft/mint",
            json={"assetId": 1, "title": "Bench"},
            headers=bearer,
            name="mint",
            catch_response=True,
        ) as response:
            minted = response.json()
            if response.status_code != 201 or minted["status"] != "minted":
                response.failure("mint")
        with self.client.post(
            "/api/marketplace/list",
            json={"nftId": minted["nftId"], "priceUSD": 10},
            headers=bearer,
            name="list",
            catch_response=True,
        ) as response:
            if response.status_code != 201 or response.json()["status"] != "listed":
                response.failure("list")
