module github.com/fairwaycd/fairway/examples/carts

go 1.25.0
