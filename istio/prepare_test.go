package istio

import (
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/fairwaycd/fairway"
)

const (
	serviceYAML = `
apiVersion: v1
kind: Service
metadata: {name: carts}
spec:
  type: NodePort
  ports: [{name: http, port: 80, targetPort: 8080, nodePort: 30080, protocol: TCP}]
  selector: {app: sockshop-selector-carts}
`
	gatewayYAML = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: sockshop-production-gateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.production.localhost"]}
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: ["shop.example.com"], tls: {mode: SIMPLE, credentialName: shop}}
`
	destinationYAML = `
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: carts-production-destination}
spec:
  host: carts.production.svc.cluster.local
  subsets: [{name: blue, labels: {deployment: carts-blue}}, {name: green, labels: {deployment: carts-green}}]
`
	directYAML = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: sockshop-production-carts}
spec:
  gateways: [sockshop-production-gateway, mesh]
  hosts: [carts.production.localhost, carts.production.svc.cluster.local]
  http: [{route: [{destination: {host: carts}}]}]
`
	ingressYAML = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: x}\n"
)

// somewhere is a cluster that is never asked.
func somewhere(t *testing.T) *Traffic {
	t.Helper()
	tr, err := New(Options{Config: &rest.Config{Host: "https://127.0.0.1:1"}, Domain: "192.0.2.7.nip.io"})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func workload(c fairway.Colour, docs ...string) fairway.Workload {
	w := production
	w.Place.Colour = c
	for _, d := range docs {
		w.Shared = append(w.Shared, []byte(d))
	}
	return w
}

func splitYAML(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/carts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func names(all []*unstructured.Unstructured) []string {
	var out []string
	for _, o := range all {
		out = append(out, o.GetKind()+" "+o.GetName())
	}
	return out
}

func TestSortOutBlueGreen(t *testing.T) {
	t.Parallel()
	w := workload(fairway.Blue, splitYAML(t), gatewayYAML, serviceYAML, destinationYAML, ingressYAML)
	p, err := somewhere(t).sortOut(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	before := []string{"Gateway sockshop-production-gateway", "Service carts", "DestinationRule carts-production-destination", "Service carts-blue", "Service carts-green"}
	if got := names(p.before); !slices.Equal(got, before) {
		t.Errorf("first come %v, want %v", got, before)
	}
	after := []string{"VirtualService sockshop-production-carts-blue", "VirtualService sockshop-production-carts-green"}
	if got := names(p.after); !slices.Equal(got, after) {
		t.Errorf("last come %v, want %v", got, after)
	}
	for _, o := range slices.Concat(p.before, p.after, []*unstructured.Unstructured{p.split}) {
		l := o.GetLabels()
		if o.GetNamespace() != "production" || l[labelManaged] != manager || l[labelProject] != "sockshop" || l[labelStage] != "production" || l[labelPart] == "" {
			t.Errorf("%s %s is in %s with labels %v", o.GetKind(), o.GetName(), o.GetNamespace(), l)
		}
		if (l[labelService] == "carts") == (o.GetKind() == "Gateway") {
			t.Errorf("%s %s has labels %v", o.GetKind(), o.GetName(), l)
		}
		if o.GetKind() != "Service" && o.GetAPIVersion() != "networking.istio.io/v1" {
			t.Errorf("%s has version %s", o.GetName(), o.GetAPIVersion())
		}
	}
	if got := hostsOf(p.split); !slices.Contains(got, "carts.production.192.0.2.7.nip.io") || !slices.Contains(got, "carts.production.localhost") {
		t.Errorf("hosts are %v", got)
	}
}

func TestTheServiceOfAColourPicksItsPods(t *testing.T) {
	t.Parallel()
	p, err := somewhere(t).sortOut(t.Context(), workload(fairway.Blue, splitYAML(t), serviceYAML))
	if err != nil {
		t.Fatal(err)
	}
	green := p.before[2]
	sel, _, _ := unstructured.NestedStringMap(green.Object, "spec", "selector")
	if sel["app"] != "sockshop-selector-carts" || sel[labelService] != "carts" || sel[labelColour] != "green" {
		t.Errorf("%s selects %v", green.GetName(), sel)
	}
	ports, _, _ := unstructured.NestedSlice(green.Object, "spec", "ports")
	if len(ports) != 1 || elements(ports)[0]["targetPort"] != int64(8080) || elements(ports)[0]["nodePort"] != nil {
		t.Errorf("%s has ports %v; a node port can be given once only", green.GetName(), ports)
	}
}

func TestTheGatewayTakesTheDomainWhereItTakesPlainRequests(t *testing.T) {
	t.Parallel()
	o := object(t, production, gatewayYAML)
	openGateway(o, "192.0.2.7.nip.io")
	servers, _, _ := unstructured.NestedSlice(o.Object, "spec", "servers")
	plain, tls := elements(servers)[0]["hosts"].([]any), elements(servers)[1]["hosts"].([]any)
	if len(plain) != 2 || plain[1] != "*.production.192.0.2.7.nip.io" {
		t.Errorf("plain hosts are %v", plain)
	}
	if len(tls) != 1 {
		t.Errorf("hosts with a certificate are %v: it may not hold for others", tls)
	}
}

func TestSortOutDirect(t *testing.T) {
	t.Parallel()
	p, err := somewhere(t).sortOut(t.Context(), workload(fairway.Single, directYAML, gatewayYAML, serviceYAML))
	if err != nil {
		t.Fatal(err)
	}
	if got := names(p.before); !slices.Equal(got, []string{"Gateway sockshop-production-gateway", "Service carts"}) || len(p.after) != 0 {
		t.Errorf("first come %v, last %v", got, names(p.after))
	}
	if got := target(p.split); got != "carts.production.svc.cluster.local" {
		t.Errorf("it leads to %s", got)
	}
}

// The Kubernetes Service of a chart of the service's own is the platform's to
// apply, and has the ports.
func TestSortOutAChartOfItsOwn(t *testing.T) {
	t.Parallel()
	w := workload(fairway.Green, strings.ReplaceAll(splitYAML(t), "host: carts.", "host: shop-web."))
	w.Manifests = [][]byte{[]byte(strings.Replace(serviceYAML, "name: carts", "name: shop-web", 1))}
	p, err := somewhere(t).sortOut(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(p.before); !slices.Equal(got, []string{"Service carts-blue", "Service carts-green"}) {
		t.Errorf("first come %v", got)
	}
	if got := serviceOf(split{git: p.split}, fairway.Route{Namespace: "production", Service: "carts"}, fairway.Single); got != "shop-web" {
		t.Errorf("without colours its endpoints are those of %s", got)
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		w    fairway.Workload
		says string
	}{
		"no VirtualService":      {workload(fairway.Blue, serviceYAML), "istio-virtual-service-carts.yaml renders to no VirtualService with a rule for subsets blue and green"},
		"of another strategy":    {workload(fairway.Blue, directYAML, serviceYAML), "restore the two destinations"},
		"direct without":         {workload(fairway.Single, serviceYAML), "so that no traffic can reach it"},
		"no Service":             {workload(fairway.Blue, splitYAML(t)), "no Kubernetes Service of that name is rendered"},
		"a namespace of its own": {workload(fairway.Blue, "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: other}\n"), `is not the stage's namespace production; leave the namespace out`},
		"an unknown kind":        {workload(fairway.Blue, "apiVersion: networking.istio.io/v1\nkind: Wonder\nmetadata: {name: a}\n"), "does not know that kind"},
		"no name":                {workload(fairway.Blue, "apiVersion: v1\nkind: Service\n"), "has no metadata.name"},
	} {
		_, err := somewhere(t).sortOut(t.Context(), tt.w)
		if err == nil || !strings.Contains(err.Error(), tt.says) || fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("%s: %v (%s), want %q", name, err, fairway.KindOf(err), tt.says)
		}
	}
}

func TestWeightsInForceAreCarriedOver(t *testing.T) {
	t.Parallel()
	blueGreen, direct := carts(t), object(t, production, directYAML)
	for name, tt := range map[string]struct {
		was  split
		git  *unstructured.Unstructured
		want fairway.Weights
	}{
		"none":              {split{}, blueGreen, nil},
		"the same strategy": {split{written: share(0, 100), seen: share(0, 100)}, blueGreen, share(0, 100)},
		"never seen":        {split{written: share(0, 100), seen: share(100, 0)}, blueGreen, share(100, 0)},
		"direct":            {split{written: fairway.Full(fairway.Single), seen: fairway.Full(fairway.Single)}, direct, fairway.Full(fairway.Single)},
		"direct from now":   {split{written: share(0, 100), seen: share(0, 100)}, direct, fairway.Full(fairway.Single)},
	} {
		if got, err := carried(tt.was, tt.git); err != nil || !same(got, tt.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, tt.want)
		}
	}
	if _, err := carried(split{seen: fairway.Full(fairway.Single)}, blueGreen); fairway.KindOf(err) != fairway.KindRefused {
		t.Errorf("blue/green from now, while a version without a colour serves: %v", err)
	}
}
