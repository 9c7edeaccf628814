// Package cli is the command line: one file per group of commands, each of
// which asks an [api.Backend] and prints what it says.
//
// The package knows nothing about what runs behind the backend. What needs
// more than that (starting a server, packing an image, writing credentials)
// is handed over in [Options] by the composition root. Nothing here ends the
// process or keeps global state: [Run] returns the exit code, out of the one
// table that [ExitCodes] holds.
package cli
