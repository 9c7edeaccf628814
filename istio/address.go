package istio

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fairwaycd/fairway"
)

// gatewayService returns the Kubernetes Service of the ingress gateway.
func (t *Traffic) gatewayService(ctx context.Context) (*unstructured.Unstructured, error) {
	s, err := t.cluster.get(ctx, services, t.o.Namespace, t.o.Service)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, fairway.Errorf(fairway.KindNotFound, "there is no Kubernetes Service %s in namespace %s, and so no ingress gateway: install one (istioctl install, or the chart istio/gateway), or say where yours is: --ingress NAMESPACE/NAME", t.o.Service, t.o.Namespace)
	}
	return s, nil
}

// gatewayPods lists the pods of the ingress gateway that take requests.
func (t *Traffic) gatewayPods(ctx context.Context) ([]unstructured.Unstructured, error) {
	all, err := t.cluster.list(ctx, pods, t.o.Namespace, t.o.Selector, 0)
	if err != nil {
		return nil, err
	}
	var ready []unstructured.Unstructured
	for _, p := range all {
		if podReady(&p) {
			ready = append(ready, p)
		}
	}
	return ready, nil
}

// podReady reports whether the pod is ready and not about to end.
func podReady(p *unstructured.Unstructured) bool {
	if p.GetDeletionTimestamp() != nil {
		return false
	}
	conditions, _, _ := unstructured.NestedSlice(p.Object, "status", "conditions")
	for _, c := range elements(conditions) {
		if c["type"] == "Ready" {
			return c["status"] == "True"
		}
	}
	return false
}

// GatewayAddress returns HOST:PORT under which the ingress gateway takes plain
// HTTP from outside the cluster: the address of its load balancer, else an
// external address, else the node port of a node.
func (t *Traffic) GatewayAddress(ctx context.Context) (string, error) {
	s, err := t.gatewayService(ctx)
	if err != nil {
		return "", err
	}
	if a := serviceAddress(s); a != "" {
		return a, nil
	}
	port := httpPort(s)
	nodePort, _ := port["nodePort"].(int64)
	if nodePort == 0 {
		return "", fairway.Errorf(fairway.KindNotFound, "Kubernetes Service %s in namespace %s has no address outside the cluster: make it of type LoadBalancer or NodePort, or give it externalIPs", t.o.Service, t.o.Namespace)
	}
	all, err := t.cluster.list(ctx, nodes, "", "", 50)
	if err != nil {
		return "", err
	}
	if host := nodeAddress(all); host != "" {
		return net.JoinHostPort(host, strconv.FormatInt(nodePort, 10)), nil
	}
	return "", fairway.Errorf(fairway.KindUnavailable, "Kubernetes Service %s in namespace %s has node port %d, and no node has an address", t.o.Service, t.o.Namespace, nodePort)
}

// serviceAddress is the address of the Service's load balancer, or the first of
// its external addresses, or empty.
func serviceAddress(s *unstructured.Unstructured) string {
	number, _ := httpPort(s)["port"].(int64)
	if number == 0 {
		number = 80
	}
	port := strconv.FormatInt(number, 10)
	list, _, _ := unstructured.NestedSlice(s.Object, "status", "loadBalancer", "ingress")
	for _, i := range elements(list) {
		for _, field := range []string{"ip", "hostname"} {
			if host, _ := i[field].(string); host != "" {
				return net.JoinHostPort(host, port)
			}
		}
	}
	external, _, _ := unstructured.NestedStringSlice(s.Object, "spec", "externalIPs")
	if len(external) > 0 {
		return net.JoinHostPort(external[0], port)
	}
	return ""
}

// httpPort is the Service's port for plain HTTP: number 80, or of that name.
func httpPort(s *unstructured.Unstructured) map[string]any {
	list, _, _ := unstructured.NestedSlice(s.Object, "spec", "ports")
	ports := elements(list)
	for _, p := range ports {
		if p["port"] == int64(80) {
			return p
		}
	}
	for _, p := range ports {
		if name, _ := p["name"].(string); name == "http" || name == "http2" || strings.HasPrefix(name, "http-") || strings.HasPrefix(name, "http2-") {
			return p
		}
	}
	return nil
}

// nodeAddress is an address of a node, one for the outside rather than another.
func nodeAddress(all []unstructured.Unstructured) string {
	for _, kind := range []string{"ExternalIP", "InternalIP"} {
		for _, n := range all {
			list, _, _ := unstructured.NestedSlice(n.Object, "status", "addresses")
			for _, a := range elements(list) {
				if host, _ := a["address"].(string); a["type"] == kind && host != "" {
					return host
				}
			}
		}
	}
	return ""
}

// DefaultDomain returns the domain for an address of the gateway, HOST or
// HOST:PORT: names below it lead to that address from everywhere, by the
// public service nip.io (sslip.io for IPv6). It fails for a host name, below
// which no names need exist.
func DefaultDomain(address string) (string, error) {
	host := address
	if h, _, err := net.SplitHostPort(address); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return "", fairway.Invalid("domain", "", fmt.Sprintf("cannot be made from the gateway's address %s", address), "give one whose names below it lead to the gateway: --domain example.com")
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String() + ".nip.io", nil
	}
	return strings.ReplaceAll(ip.String(), ":", "-") + ".sslip.io", nil
}

// Domain returns that of the services' hosts: Options.Domain, or the one made
// from the gateway's address. It is asked once.
func (t *Traffic) Domain(ctx context.Context) (string, error) {
	t.mu.Lock()
	domain := t.domain
	t.mu.Unlock()
	if domain != "" {
		return domain, nil
	}
	address, err := t.GatewayAddress(ctx)
	if err != nil {
		return "", fmt.Errorf("find the domain of the services' hosts (--domain gives one): %w", err)
	}
	if domain, err = DefaultDomain(address); err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.domain = domain
	return domain, nil
}
