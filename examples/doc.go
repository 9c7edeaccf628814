// Package examples tests the sample services: carts and carts-db are modules
// of their own, since each of them is a git repository of its own wherever it
// is delivered. The tests clone them as a CI system would and run what the CI
// files say.
package examples
