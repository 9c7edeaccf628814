// Command volume makes and removes the directory of a volume: what a shell
// does in local-path-provisioner's helper pods elsewhere. The provisioner passes
// the directory as -p and what to do as -a, create or delete.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	path := flag.String("p", "", "the volume's directory")
	action := flag.String("a", "", "create or delete")
	flag.String("s", "", "its size; a directory has none")
	flag.String("m", "", "its mode; directories are file systems")
	flag.Parse()
	if err := run(*path, *action); err != nil {
		fmt.Fprintln(os.Stderr, "volume:", err)
		os.Exit(1)
	}
}

func run(path, action string) error {
	if path == "" {
		return fmt.Errorf("no directory: -p is missing")
	}
	switch action {
	case "create":
		if err := os.MkdirAll(path, 0o777); err != nil {
			return err
		}
		return os.Chmod(path, 0o777) // whoever the pod runs as
	case "delete":
		return os.RemoveAll(path)
	}
	return fmt.Errorf("-a is %q; it is create or delete", action)
}
