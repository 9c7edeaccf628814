package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/fairwaycd/fairway/e2e/cluster"
)

// test brings the cluster up, has go test run, and brings down what it brought
// up, also when it is interrupted.
func test(ctx context.Context, c *cluster.Cluster, args []string) (err error) {
	if _, up := c.Pid("kube-apiserver"); !up {
		defer func() {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
			defer cancel()
			err = errors.Join(err, c.Down(last))
		}()
	}
	if err := c.Up(ctx); err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"-timeout", "30m", "-p", "1", "./..."} // one package at a time: some break what others use
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-count=1", "-json"}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig(), "FAIRWAY_E2E=1")
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	counted := count(out, os.Stdout)
	err = cmd.Wait()
	fmt.Printf("%d end-to-end tests in %s: %d passed, %d failed, %d skipped\n",
		counted["pass"]+counted["fail"]+counted["skip"], time.Since(begun).Round(time.Second), counted["pass"], counted["fail"], counted["skip"])
	if err == nil && counted["pass"] == 0 {
		return errors.New("no test ran")
	}
	if err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}

// count reads go test -json: a line for each test, and what failed ones said.
func count(from io.Reader, to io.Writer) map[string]int {
	counted := map[string]int{}
	said := map[string][]string{}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct {
			Action, Package, Test, Output string
			Elapsed                       float64
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(to, lines.Text())
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			said[key] = append(said[key], e.Output)
		case "pass", "fail", "skip":
			if e.Action == "fail" {
				fmt.Fprint(to, strings.Join(said[key], ""))
			}
			delete(said, key)
			if e.Test != "" {
				counted[e.Action]++
				fmt.Fprintf(to, "%s %s (%.1fs)\n", e.Action, e.Test, e.Elapsed)
			}
		}
	}
	return counted
}
