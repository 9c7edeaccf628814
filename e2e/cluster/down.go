package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Down stops the cluster and removes all that it left on the machine but the
// built programs. It takes every chain of iptables named KUBE-* or CNI-* for its
// own: it is not for a machine that runs another Kubernetes.
func (c *Cluster) Down(ctx context.Context) error {
	if _, err := os.Stat(c.path("pids")); err != nil {
		c.say("nothing runs")
		return nil
	}
	var failed []error
	// First those that would start pods again.
	for _, name := range []string{"kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy"} {
		failed = append(failed, c.stop(ctx, name))
	}
	if _, runs := c.Pid("containerd"); runs {
		if _, err := c.run(ctx, c.Bin("cri-clean"), c.path("containerd.sock")); err != nil {
			c.say("pods: %v", err) // the rest goes by force
		}
		failed = append(failed, c.stop(ctx, "containerd"))
	}
	c.killShims()
	for _, name := range []string{"kube-apiserver", "etcd", "registry"} {
		failed = append(failed, c.stop(ctx, name))
	}
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, table := range []string{"filter", "nat", "mangle"} {
			failed = append(failed, c.dropChains(ctx, "/usr/sbin/"+tool, table))
		}
	}
	_, _ = c.run(ctx, "/bin/ip", "link", "delete", "clcni0") // with the other plugin there is none
	c.removeGroups()
	failed = append(failed, c.removeLogs(), c.removeDir())
	return errors.Join(failed...)
}

// killShims ends the parents of containers that outlived containerd: they name
// its socket.
func (c *Cluster) killShims() {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		args := strings.Split(string(b), "\x00")
		i := slices.Index(args, "-address")
		if !strings.Contains(filepath.Base(args[0]), "containerd-shim") || i < 0 || i+1 >= len(args) || args[i+1] != c.path("containerd.sock") {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/", &pid); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// dropChains removes the chains of kube-proxy, kubelet and the network plugins,
// and the rules of other chains that jump to them, in one transaction.
func (c *Cluster) dropChains(ctx context.Context, tool, table string) error {
	saved, err := c.run(ctx, tool+"-save", "-t", table)
	if err != nil {
		return nil // the kernel has no such table
	}
	ours := func(chain string) bool { return strings.HasPrefix(chain, "KUBE-") || strings.HasPrefix(chain, "CNI-") }
	var jumps, flushes, drops []string
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, ":") && ours(fields[0][1:]):
			flushes, drops = append(flushes, "-F "+fields[0][1:]), append(drops, "-X "+fields[0][1:])
		case strings.HasPrefix(line, "-A ") && !ours(fields[1]) && slices.ContainsFunc(fields, ours):
			jumps = append(jumps, "-D"+strings.TrimPrefix(line, "-A"))
		}
	}
	if len(drops) == 0 {
		return nil
	}
	all := slices.Concat([]string{"*" + table}, jumps, flushes, drops, []string{"COMMIT\n"})
	cmd := exec.CommandContext(ctx, tool+"-restore", "--noflush")
	cmd.Stdin = strings.NewReader(strings.Join(all, "\n"))
	_, err = output(cmd)
	return err
}

// removeGroups removes the control groups of pods, the innermost first.
func (c *Cluster) removeGroups() {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/kubepods")
	for _, root := range append(roots, "/sys/fs/cgroup/kubepods") {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, dir := range slices.Backward(dirs) {
			_ = os.Remove(dir) // one with processes stays
		}
	}
}

// removeLogs removes the links that kubelet makes in /var/log.
func (c *Cluster) removeLogs() error {
	links, err := filepath.Glob("/var/log/containers/*")
	for _, l := range links {
		if to, e := os.Readlink(l); e == nil && strings.HasPrefix(to, c.Dir+"/") {
			err = errors.Join(err, os.Remove(l))
		}
	}
	return err
}

// removeDir unmounts what is below the directory, then removes it. With a mount
// left it would remove what is mounted.
func (c *Cluster) removeDir() error {
	mounts := func() []string {
		b, _ := os.ReadFile("/proc/mounts")
		var found []string
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], c.Dir+"/") {
				found = append(found, f[1])
			}
		}
		slices.Sort(found)
		return found
	}
	for _, m := range slices.Backward(mounts()) {
		_ = syscall.Unmount(m, syscall.MNT_DETACH)
	}
	if left := mounts(); len(left) > 0 {
		return fmt.Errorf("%s is still mounted; unmount it and remove %s", left[0], c.Dir)
	}
	return os.RemoveAll(c.Dir)
}
