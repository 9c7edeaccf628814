//go:build race

package main

// raced says that this is a race test, in which every start of a program
// takes a second.
const raced = true
