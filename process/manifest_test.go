package process

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
)

const configMap = `
apiVersion: v1
kind: ConfigMap
metadata: {name: config}
data: {COLOUR: red, price: "$(MOOD) {{port}}"}
`

const secret = `
apiVersion: v1
kind: Secret
metadata: {name: secret}
data: {TOKEN: aHVzaA==}
stringData: {WORD: pass}
`

func TestEnvironmentSources(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apply("a", `
ports: [{containerPort: 8080}]
envFrom: [{configMapRef: {name: config}, prefix: C_}, {secretRef: {name: secret}}, {configMapRef: {name: none, optional: true}}]
env:
- {name: MOOD, value: fine}
- {name: PORT, value: "8080"}
- {name: SUM, value: "$(MOOD)-$(TOKEN)-$(PORT)-$(UNKNOWN)-$$(MOOD)-{{port}}"}
- {name: FROM_IMAGE, value: replaced}
- {name: PRICE, valueFrom: {configMapKeyRef: {name: config, key: price}}}
- {name: WORD2, valueFrom: {secretKeyRef: {name: secret, key: WORD}}}
- {name: MISSING, valueFrom: {secretKeyRef: {name: secret, key: none, optional: true}}}
- {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: NS, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
- {name: ANNOTATION, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['prometheus.io/path']"}}}
`, configMap, secret)
	i := f.ready("a")
	port := i.Address[strings.LastIndex(i.Address, ":")+1:]
	env := strings.Split(get(t, i.Address, "/env"), "\n")
	for _, want := range []string{"C_COLOUR=red", "TOKEN=hush", "WORD=pass", "MOOD=fine", "PORT=" + port, "SUM=fine-hush-" + port + "-$(UNKNOWN)-$(MOOD)-" + port,
		"FROM_IMAGE=replaced", "PRICE=$(MOOD) {{port}}", "WORD2=pass", "POD=a", "NS=staging", "IP=127.0.0.1", "ANNOTATION=/prometheus"} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is not in the environment %q", want, env)
		}
	}
}

func TestManifestsThatCannotRun(t *testing.T) {
	t.Parallel()
	f := start(t)
	w := workload("a", "")
	for name, tc := range map[string]struct {
		manifests []string
		texts     []string
	}{
		"no workload":      {[]string{configMap}, []string{"neither a Deployment", "named carts-blue"}},
		"no container":     {[]string{"kind: Deployment\nmetadata: {name: x}"}, []string{"Deployment x", "no containers"}},
		"not YAML":         {[]string{"kind: [", deployment("image: x")}, []string{"manifest 1", "cannot be read"}},
		"unquoted number":  {[]string{deployment("env: [{name: A, value: 1}]")}, []string{"Deployment carts-blue", "need quotes"}},
		"absent ConfigMap": {[]string{deployment("env: [{name: A, valueFrom: {configMapKeyRef: {name: gone, key: k}}}]\nenvFrom: [{secretRef: {name: lost}}]")}, []string{"Deployment carts-blue: container carts envFrom[0] Secret lost", "container carts env A ConfigMap gone is not among", "optional: true"}},
		"absent key":       {[]string{deployment("env: [{name: A, valueFrom: {configMapKeyRef: {name: config, key: k}}}]"), configMap}, []string{"key k of ConfigMap config"}},
		"unknown field":    {[]string{deployment("env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.hat}}}]")}, []string{`"spec.hat"`, "metadata.namespace"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := w
			w.Manifests = nil
			for _, m := range tc.manifests {
				w.Manifests = append(w.Manifests, []byte(m))
			}
			err := f.Apply(t.Context(), w)
			if fairway.KindOf(err) != fairway.KindInvalid {
				t.Fatalf("got %v", err)
			}
			contains(t, err.Error(), tc.texts...)
			if all, err := f.Instances(t.Context()); err != nil || len(all) > 0 {
				t.Errorf("something was applied: %v (%v)", all, err)
			}
		})
	}
}

func TestWhatIsNotRunIsListedOnce(t *testing.T) {
	t.Parallel()
	w := workload("a", `
ports: [{containerPort: 8080}, {containerPort: 8081}]
resources: {limits: {cpu: "1"}}
securityContext: {runAsUser: 1}
lifecycle: {preStop: {exec: {command: [x]}}}
readinessProbe: {grpc: {port: 8080}}`,
		"kind: VirtualService\nmetadata: {name: carts}", "kind: VirtualService\nmetadata: {name: carts}", "# only a comment",
		"kind: StatefulSet\nmetadata: {name: db}", configMap, secret)
	w.Manifests[0] = []byte(strings.Replace(string(w.Manifests[0]), "    spec:\n", "    spec:\n      initContainers: [{name: migrate}]\n      volumes: [{name: data}]\n", 1) +
		"      - name: sidecar\n")
	s, err := decode(w, "127.0.0.1")
	must(t, err)
	want := []string{"StatefulSet db", "VirtualService carts", "container port 8081, since only 8080 is mapped", "container sidecar, since only carts is",
		"init container migrate", "lifecycle hooks of container carts", "readiness probe over gRPC; a TCP connection stands for it",
		"resource requests and limits of container carts", "security context, the program runs as you", "volume data"}
	var got []string
	for _, line := range s.notRun {
		got = append(got, strings.TrimPrefix(line, "not run here: "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"A": "1", "B": "$(A)"}
	for in, want := range map[string]string{"": "", "x": "x", "$": "$", "$(A)": "1", "a$(A)b$(A)": "a1b1", "$$(A)": "$(A)", "$$$(A)": "$1", "$(NO)": "$(NO)", "$(A": "$(A", "$A": "$A", "$()": "$()", "$(B)": "$(A)", "x$": "x$", "$$": "$"} {
		if got := expand(in, vars); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(deployment(withPort)), []byte(configMap))
	f.Add([]byte(secret), []byte("kind: Deployment"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		w := workload("a", "")
		w.Manifests = [][]byte{a, b}
		s, err := decode(w, "127.0.0.1")
		if err == nil && s == nil || err != nil && fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("got %v, %v", s, err)
		}
	})
}

func FuzzExpand(f *testing.F) {
	f.Add("$(A)$$(B)$")
	f.Fuzz(func(t *testing.T, s string) {
		if got := expand(s, maps.Clone(map[string]string{})); len(got) > len(s) {
			t.Errorf("%q grew to %q without variables", s, got)
		}
	})
}

func FuzzFileName(f *testing.F) {
	f.Add("a", "b")
	f.Add("../x", "%2E")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := fileName(a), fileName(b)
		if (x == y) != (a == b) || strings.ContainsAny(x, "/\x00") || strings.HasPrefix(x, ".") {
			t.Errorf("%q and %q became %q and %q", a, b, x, y)
		}
	})
}
