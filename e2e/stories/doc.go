// Package stories plays what Fairway promises on a real cluster, with the built
// program, and looks at it with kubectl and a client at the gateway. Its tests run
// one after another: some of them stop what all of them need.
package stories
