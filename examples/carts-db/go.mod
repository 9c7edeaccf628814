module github.com/fairwaycd/fairway/examples/carts-db

go 1.25.0
