// Package app puts Fairway together and starts it.
//
// It is the composition root: options, defaults, the order in which parts
// start and stop. It reads no flags, handles no signals and never exits.
package app
