"""The Kubernetes operator: makes runs of LoadTests, watches over them, and writes down what came of them."""
