"""One GET with one check, as fast as it goes."""

from locust import FastHttpUser, constant, task


class Visitor(FastHttpUser):
    wait_time = constant(0)
    insecure = True

    @task
    def item(self) -> None:
        with self.client.get("/item", name="item", catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"status is {response.status_code}")
