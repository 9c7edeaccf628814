package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Addresses of the cluster. The Services' lowest ones are given by hand, since
// no Service gets one of them by chance.
const (
	Registry    = "127.0.0.1:5000" // on all addresses of the node, without a password
	NodeName    = "node1"
	apiPort     = "16443"
	etcdClient  = "127.0.0.1:23790"
	etcdPeer    = "127.0.0.1:23800"
	serviceCIDR = "10.0.0.0/24"
	serviceAPI  = "10.0.0.1"
	serviceDNS  = "10.0.0.10"
	serviceReg  = "10.0.0.11" // registry.kube-system.svc.cluster.local:5000
	podCIDR     = "10.244.0.0/24"
)

// Cluster is one machine's cluster, running or not.
type Cluster struct {
	Cache string    // built programs; outlive the cluster
	Dir   string    // all that a running cluster writes
	IP    string    // the node's address
	Out   io.Writer // a line for each thing done

	began time.Time
}

// Open returns the machine's cluster without starting it. FAIRWAY_E2E_CACHE,
// FAIRWAY_E2E_DIR and NODE_IP take the place of ~/.cache/fairway-ci/cluster,
// /var/tmp/cluster and the address of the default route.
func Open(out io.Writer) (*Cluster, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		Cache: or(os.Getenv("FAIRWAY_E2E_CACHE"), filepath.Join(home, ".cache", "fairway-ci", "cluster")),
		Dir:   or(os.Getenv("FAIRWAY_E2E_DIR"), "/var/tmp/cluster"),
		IP:    os.Getenv("NODE_IP"),
		Out:   out, began: time.Now(),
	}
	if c.IP == "" {
		if c.IP, err = address(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// address is the one that packets to the world leave from. No packet is sent.
func address() (string, error) {
	conn, err := net.Dial("udp4", "192.0.2.53:53")
	if err != nil {
		return "", fmt.Errorf("the machine's address: %w; set NODE_IP", err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String(), nil
}

// Bin is the path of a built program.
func (c *Cluster) Bin(name string) string { return filepath.Join(c.Cache, "bin", name) }

// Kubeconfig is the path of the administrator's.
func (c *Cluster) Kubeconfig() string { return c.path("kubeconfig") }

func (c *Cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.Dir}, parts...)...)
}

func (c *Cluster) say(format string, a ...any) {
	fmt.Fprintf(c.Out, "%7.1fs  %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, a...))
}

// Kubectl runs kubectl as administrator and returns what it prints. An error
// carries what it complained of.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.kubectl(ctx, nil, args...)
}

// Apply has the apiserver apply manifests.
func (c *Cluster) Apply(ctx context.Context, manifests string) error {
	_, err := c.kubectl(ctx, strings.NewReader(manifests), "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}

func (c *Cluster) kubectl(ctx context.Context, in io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.Bin("kubectl"), append([]string{"--kubeconfig", c.Kubeconfig()}, args...)...)
	cmd.Stdin = in
	return output(cmd)
}

// run runs a program of the system.
func (c *Cluster) run(ctx context.Context, name string, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, name, args...))
}

func output(cmd *exec.Cmd) (string, error) {
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(complaint.String())
		if len(said) > 2000 {
			said = "…" + said[len(said)-2000:]
		}
		return out.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(cmd.Path), strings.Join(cmd.Args[1:min(len(cmd.Args), 6)], " "), err, said)
	}
	return out.String(), nil
}

// await asks until the answer is no error, at most for the limit.
func await(ctx context.Context, what string, limit time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %s: %w", what, limit, last)
		case <-tick.C:
		}
	}
}
