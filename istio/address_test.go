package istio

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	b, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(b); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTheAddressOfAService(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"kind: Service\nspec: {ports: [{port: 80}]}\nstatus: {loadBalancer: {ingress: [{ip: 192.0.2.7}]}}":                                          "192.0.2.7:80",
		"kind: Service\nspec: {ports: [{port: 15021}, {port: 8080, name: http2}]}\nstatus: {loadBalancer: {ingress: [{hostname: lb.example.com}]}}": "lb.example.com:8080",
		"kind: Service\nspec: {ports: [{port: 80}], externalIPs: [192.0.2.8, 192.0.2.9]}":                                                           "192.0.2.8:80",
		"kind: Service\nspec: {ports: [{port: 80}], externalIPs: [192.0.2.8]}\nstatus: {loadBalancer: {ingress: [{ip: '2001:db8::7'}]}}":            "[2001:db8::7]:80",
		"kind: Service\nspec: {type: LoadBalancer, ports: [{port: 80, nodePort: 31000}]}\nstatus: {loadBalancer: {}}":                               "",
		"kind: Service": "",
	} {
		if got := serviceAddress(parse(t, text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestTheAddressOfANode(t *testing.T) {
	t.Parallel()
	inner := *parse(t, "kind: Node\nstatus: {addresses: [{type: Hostname, address: n1}, {type: InternalIP, address: 10.0.0.1}]}")
	outer := *parse(t, "kind: Node\nstatus: {addresses: [{type: InternalIP, address: 10.0.0.2}, {type: ExternalIP, address: 192.0.2.2}]}")
	if got := nodeAddress([]unstructured.Unstructured{inner, outer}); got != "192.0.2.2" {
		t.Errorf("took %s rather than the one for the outside", got)
	}
	if got := nodeAddress([]unstructured.Unstructured{inner}); got != "10.0.0.1" {
		t.Errorf("took %s", got)
	}
	if got := nodeAddress(nil); got != "" {
		t.Errorf("took %s", got)
	}
}

func TestDefaultDomain(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.7:80": "192.0.2.7.nip.io", "192.0.2.7": "192.0.2.7.nip.io", "[2001:db8::7]:80": "2001-db8--7.sslip.io",
		"[::ffff:192.0.2.7]:80": "192.0.2.7.nip.io",
	} {
		if got, err := DefaultDomain(address); err != nil || got != want {
			t.Errorf("%s: %q, %v", address, got, err)
		}
	}
	for _, address := range []string{"lb.example.com:80", "lb.example.com", "", ":80"} {
		if got, err := DefaultDomain(address); err == nil {
			t.Errorf("%s: %q, want an error", address, got)
		}
	}
}

func TestWhichPodsOfTheGatewayTakeRequests(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"kind: Pod\nstatus: {conditions: [{type: Initialized, status: 'True'}, {type: Ready, status: 'True'}]}":                   true,
		"kind: Pod\nstatus: {conditions: [{type: Ready, status: 'False'}]}":                                                       false,
		"kind: Pod\nmetadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}\nstatus: {conditions: [{type: Ready, status: 'True'}]}": false,
		"kind: Pod": false,
	} {
		if got := podReady(parse(t, text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
