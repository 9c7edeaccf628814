// Command cluster brings the test cluster of this machine up and down, and runs
// the tests of this module on it.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/fairwaycd/fairway/e2e/cluster"
)

const usage = `usage: go run ./cmd/cluster COMMAND

  build          build the programs into the cache
  up             start what does not run; a second time it changes nothing
  status         what runs
  down           stop all, and remove all but the cache
  test [ARG…]    up if need be, go test ARG… in this module, down if up was needed
  notify URL SECRET
                 have the registry tell this endpoint, and no other, of pushes
  render DIR     write istiod.yaml in DIR anew, for another version of Istio
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	c, err := cluster.Open(os.Stdout)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "build":
		return c.Build(ctx)
	case len(args) == 1 && args[0] == "up":
		if err := c.Up(ctx); err != nil {
			return err
		}
		fmt.Printf("export KUBECONFIG=%s\nexport PATH=%s:$PATH\n", c.Kubeconfig(), c.Bin(""))
		return nil
	case len(args) == 1 && args[0] == "down":
		return c.Down(ctx)
	case len(args) == 1 && args[0] == "status":
		return status(ctx, c)
	case len(args) >= 1 && args[0] == "test":
		return test(ctx, c, args[1:])
	case len(args) == 3 && args[0] == "notify":
		return c.Notify(ctx, cluster.Endpoint{URL: args[1], Secret: args[2]})
	case len(args) == 2 && args[0] == "render":
		return c.Render(ctx, args[1])
	}
	fmt.Fprint(os.Stderr, usage)
	os.Exit(2)
	return nil
}

// status prints processes and pods; a dead one is an error.
func status(ctx context.Context, c *cluster.Cluster) error {
	pids, err := c.Running()
	if err != nil {
		return err
	}
	if len(pids) == 0 {
		return fmt.Errorf("it is down")
	}
	dead := 0
	for _, name := range slices.Sorted(maps.Keys(pids)) {
		if pids[name] == 0 {
			dead++
		}
		fmt.Printf("%-24s %d\n", name, pids[name])
	}
	pods, err := c.Kubectl(ctx, "get", "pods", "-A", "-o", "wide")
	fmt.Print(pods)
	if err != nil {
		return err
	}
	if dead > 0 {
		return fmt.Errorf("%d processes have died; see their logs in %s/logs, then run up", dead, c.Dir)
	}
	return nil
}
