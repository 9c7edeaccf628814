package cluster

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

//go:embed manifests
var manifests embed.FS

func manifest(name string) string {
	b, err := fs.ReadFile(manifests, "manifests/"+name)
	if err != nil {
		panic(err) // it is part of the program
	}
	return string(b)
}

// Up starts what does not run, and returns when all of it answers. It needs
// root, and installs the packages of Debian that are missing.
func (c *Cluster) Up(ctx context.Context) error {
	if os.Getuid() != 0 {
		return errors.New("a node needs root: namespaces, mounts, iptables")
	}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"packages of Debian", c.packages},
		{"programs", c.Build},
		{"configuration", c.configure},
		{"registry", c.startRegistry},
		{"images", c.images},
		{"control plane", c.controlPlane},
		{"node", c.node},
		{"DNS", c.dns},
		{"volumes", c.volumes},
		{"Istio", c.istio},
		{"ingress gateway", c.gateway},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w; logs are in %s", step.what, err, c.path("logs"))
		}
		c.say("%s", step.what)
	}
	return nil
}

// packages installs what is missing. Debian would start a containerd of its
// own by systemd, which machines of continuous integration do not have; one that
// runs does no harm, for it has another socket.
func (c *Cluster) packages(ctx context.Context) error {
	var missing []string
	for _, p := range [][2]string{
		{"containerd", "/usr/bin/containerd"}, {"runc", "/usr/sbin/runc"}, {"containernetworking-plugins", "/usr/lib/cni/bridge"},
		{"iptables", "/usr/sbin/iptables"}, {"iproute2", "/bin/ip"}, {"kmod", "/sbin/modprobe"},
		{"ca-certificates", "/usr/sbin/update-ca-certificates"},
	} {
		if _, err := os.Stat(p[1]); err != nil {
			missing = append(missing, p[0])
		}
	}
	if exec.CommandContext(ctx, "python3", "-m", "pip", "--version").Run() != nil {
		missing = append(missing, "python3-pip")
	}
	if len(missing) == 0 {
		return nil
	}
	for _, args := range [][]string{{"update", "-qq"}, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if _, err := output(cmd); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) configure(ctx context.Context) error {
	for _, dir := range []string{"pids", "logs", "cni", "images", "kubelet", "pod-logs", "registry", "volumes", "certs.d/_default"} {
		if err := os.MkdirAll(c.path(dir), 0o755); err != nil {
			return err
		}
	}
	for _, dir := range []string{"certs", "kc"} {
		if err := os.MkdirAll(c.path(dir), 0o700); err != nil {
			return err
		}
	}
	if err := errors.Join(c.certificates(), c.kubeconfigs(), c.resolver()); err != nil {
		return err
	}
	cni, err := c.forwarding(ctx)
	if err != nil {
		return err
	}
	for from, to := range map[string]string{
		"containerd.toml": "containerd.toml", "kubelet.yaml": "kubelet.yaml",
		"mirror.toml": "certs.d/_default/hosts.toml", cni: "cni/10-cluster.conflist",
	} {
		if err := os.WriteFile(c.path(to), []byte(c.fill(manifest(from))), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// fill puts this cluster's values where a file says @NAME@.
func (c *Cluster) fill(text string) string {
	return strings.NewReplacer("@DIR@", c.Dir, "@REGISTRY@", Registry, "@NODE_IP@", c.IP, "@DNS@", serviceDNS, "@REGISTRY_IP@", serviceReg,
		"@PODS@", podCIDR, "@OOM@", strconv.FormatBool(!mayLowerScores()), "@HUB@", Registry+"/istio", "@TAG@", istioTag,
		"@PROVISIONER@", provisioner).Replace(text)
}

var capabilities = regexp.MustCompile(`(?m)^CapEff:\s*([0-9a-f]+)$`)

// mayLowerScores says whether the kernel lets runc spare a process from the
// out-of-memory killer. Without CAP_SYS_RESOURCE containers would not start.
func mayLowerScores() bool {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	found := capabilities.FindSubmatch(b)
	if found == nil {
		return false
	}
	set, err := strconv.ParseUint(string(found[1]), 16, 64)
	const sysResource = 24
	return err == nil && set>>sysResource&1 == 1
}

// resolver writes the resolv.conf of pods without cluster DNS. A resolver on a
// loopback address is out of their reach, and none at all is an error.
func (c *Cluster) resolver() error {
	b, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var kept []string
	servers := false
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		isServer := len(fields) > 1 && fields[0] == "nameserver"
		if isServer && (strings.HasPrefix(fields[1], "127.") || fields[1] == "::1") {
			continue
		}
		servers = servers || isServer
		kept = append(kept, line)
	}
	if !servers {
		kept = append(kept, "nameserver 192.0.2.53\n") // nobody
	}
	return os.WriteFile(c.path("resolv.conf"), []byte(strings.Join(kept, "")), 0o644)
}

// forwarding lets the kernel pass packets between pods, and names the network
// plugin that suits it. On a bridge the answer of a Service to a pod must pass
// iptables; where the kernel cannot do that, every packet is routed instead.
func (c *Cluster) forwarding(ctx context.Context) (cni string, err error) {
	_, _ = c.run(ctx, "/sbin/modprobe", "br_netfilter") // it may be built in, or missing
	cni = "cni-ptp.conflist"
	const bridged = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	if _, err := os.Stat(bridged); err == nil {
		cni = "cni-bridge.conflist"
		if err := os.WriteFile(bridged, []byte("1"), 0o644); err != nil {
			return "", err
		}
	}
	return cni, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

func (c *Cluster) controlPlane(ctx context.Context) error {
	certs := c.path("certs") + "/"
	if err := c.start("etcd", c.Bin("etcd"), "--name", NodeName, "--data-dir", c.path("etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", "http://"+etcdClient, "--advertise-client-urls", "http://"+etcdClient,
		"--listen-peer-urls", "http://"+etcdPeer, "--initial-advertise-peer-urls", "http://"+etcdPeer,
		"--initial-cluster", NodeName+"=http://"+etcdPeer); err != nil {
		return err
	}
	if err := c.start("containerd", "containerd", "--config", c.path("containerd.toml")); err != nil {
		return err
	}
	if err := await(ctx, "etcd", 30*time.Second, func(ctx context.Context) error { return answers(ctx, "http://"+etcdClient+"/health") }); err != nil {
		return err
	}
	if err := c.start("kube-apiserver", c.Bin("kube-apiserver"), "--etcd-servers=http://"+etcdClient,
		"--bind-address=0.0.0.0", "--advertise-address="+c.IP, "--secure-port="+apiPort, "--service-cluster-ip-range="+serviceCIDR,
		"--tls-cert-file="+certs+"apiserver.crt", "--tls-private-key-file="+certs+"apiserver.key", "--client-ca-file="+certs+"ca.crt",
		"--token-auth-file="+c.path("tokens.csv"), "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+certs+"sa.pub", "--service-account-signing-key-file="+certs+"sa.key",
		"--kubelet-client-certificate="+certs+"apiserver-kubelet-client.crt", "--kubelet-client-key="+certs+"apiserver-kubelet-client.key",
		"--kubelet-certificate-authority="+certs+"ca.crt", "--kubelet-preferred-address-types=InternalIP,Hostname",
		"--requestheader-client-ca-file="+certs+"front-ca.crt", "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+certs+"front-proxy.crt", "--proxy-client-key-file="+certs+"front-proxy.key"); err != nil {
		return err
	}
	if err := c.awaitKubectl(ctx, "kube-apiserver", 90*time.Second, "get", "--raw", "/readyz"); err != nil {
		return err
	}
	manager, scheduler := c.path("kc", "cm"), c.path("kc", "sched")
	return errors.Join(
		c.start("kube-controller-manager", c.Bin("kube-controller-manager"), "--kubeconfig="+manager, "--authentication-kubeconfig="+manager,
			"--authorization-kubeconfig="+manager, "--bind-address=127.0.0.1", "--leader-elect=false", "--use-service-account-credentials=true",
			"--service-account-private-key-file="+certs+"sa.key", "--root-ca-file="+certs+"ca.crt",
			"--cluster-signing-cert-file="+certs+"ca.crt", "--cluster-signing-key-file="+certs+"ca.key"),
		c.start("kube-scheduler", c.Bin("kube-scheduler"), "--kubeconfig="+scheduler, "--authentication-kubeconfig="+scheduler,
			"--authorization-kubeconfig="+scheduler, "--bind-address=127.0.0.1", "--leader-elect=false"))
}

func (c *Cluster) awaitKubectl(ctx context.Context, what string, limit time.Duration, args ...string) error {
	return await(ctx, what, limit, func(ctx context.Context) error {
		_, err := c.Kubectl(ctx, args...)
		return err
	})
}

func (c *Cluster) node(ctx context.Context) error {
	socket := c.path("containerd.sock")
	if err := await(ctx, "containerd", 30*time.Second, func(ctx context.Context) error {
		_, err := c.run(ctx, "ctr", "--address", socket, "version")
		return err
	}); err != nil {
		return err
	}
	if err := errors.Join(
		c.start("kubelet", c.Bin("kubelet"), "--kubeconfig="+c.path("kc", "kubelet"), "--config="+c.path("kubelet.yaml"),
			"--root-dir="+c.path("kubelet"), "--hostname-override="+NodeName, "--node-ip="+c.IP),
		c.start("kube-proxy", c.Bin("kube-proxy"), "--kubeconfig="+c.path("kc", "proxy"), "--hostname-override="+NodeName,
			"--cluster-cidr="+podCIDR, "--proxy-mode=iptables", "--conntrack-max-per-core=0")); err != nil {
		return err
	}
	if err := c.awaitKubectl(ctx, "node "+NodeName, time.Minute, "get", "node", NodeName); err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, "wait", "--for=condition=Ready", "node/"+NodeName, "--timeout=90s"); err != nil {
		return err
	}
	return c.awaitKubectl(ctx, "default service account", time.Minute, "-n", "default", "get", "serviceaccount", "default")
}

// rolled waits until a Deployment is what its object says.
func (c *Cluster) rolled(ctx context.Context, namespace, name string) error {
	_, err := c.Kubectl(ctx, "-n", namespace, "rollout", "status", "deployment/"+name, "--timeout=180s")
	return err
}

func (c *Cluster) dns(ctx context.Context) error {
	if err := c.Apply(ctx, c.fill(manifest("coredns.yaml")+"---\n"+manifest("registry-service.yaml"))); err != nil {
		return err
	}
	return c.rolled(ctx, "kube-system", "coredns")
}

func (c *Cluster) volumes(ctx context.Context) error {
	if err := c.Apply(ctx, c.fill(manifest("volumes.yaml"))); err != nil {
		return err
	}
	return c.rolled(ctx, "local-path-storage", "local-path-provisioner")
}

func (c *Cluster) istio(ctx context.Context) error {
	crds, err := os.ReadFile(c.Bin("istio-crds.yaml"))
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, string(crds)); err != nil {
		return err
	}
	if err := c.Apply(ctx, "{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}"); err != nil {
		return err
	}
	if err := c.Apply(ctx, c.fill(manifest("istiod.yaml"))); err != nil {
		return err
	}
	if err := c.rolled(ctx, "istio-system", "istiod"); err != nil {
		return err
	}
	// istiod gives its authority to both webhooks when it leads, a moment later.
	return await(ctx, "Istio's webhooks", time.Minute, func(ctx context.Context) error {
		ca, err := c.Kubectl(ctx, "get", "mutatingwebhookconfiguration", "istio-sidecar-injector", "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}")
		if err != nil {
			return err
		}
		if ca == "" {
			return errors.New("the injector has no authority yet")
		}
		_, err = c.kubectl(ctx, strings.NewReader(manifest("probe.yaml")), "create", "--dry-run=server", "-f", "-")
		return err
	})
}

// gateway starts Envoy as Istio's ingress gateway, and gives its Service the
// node's address, as a cloud would.
func (c *Cluster) gateway(ctx context.Context) error {
	if err := c.Apply(ctx, c.fill(manifest("gateway.yaml"))); err != nil {
		return err
	}
	if err := c.rolled(ctx, "istio-system", "istio-ingressgateway"); err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, "-n", "istio-system", "patch", "service", "istio-ingressgateway", "--subresource=status", "--type=merge",
		"-p", fmt.Sprintf(`{"status":{"loadBalancer":{"ingress":[{"ip":%q}]}}}`, c.IP)); err != nil {
		return err
	}
	return await(ctx, "gateway at "+c.IP, 20*time.Second, func(ctx context.Context) error {
		return answers(ctx, "http://"+c.IP+":15021/healthz/ready")
	})
}
