package process

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/fairwaycd/fairway"
)

// spec is what of a workload's objects is run.
type spec struct {
	command, args []string
	env           []variable
	workingDir    string
	hasPort       bool
	grace         *time.Duration // nil: the platform's
	startup       *probe         // nil: none
	readiness     *probe         // nil: none
	liveness      *probe         // nil: none
	metricsPath   string         // empty: not scraped
	hooks         []hook         // run before, in their order
	notRun        []string
}

// objects are a workload's manifests, decoded.
type objects struct {
	runnable   []runnable
	configMaps map[string]corev1.ConfigMap
	secrets    map[string]corev1.Secret
	services   []corev1.Service
	hooks      []runnable
	others     []string // "Kind name"
}

// runnable is an object with a pod template.
type runnable struct {
	kind, name string
	replicas   *int32
	template   corev1.PodTemplateSpec
	hook       string         // when it is run instead, in Helm's words
	weight     int            // of the hook
	deadline   *time.Duration // of the hook; nil: the step's
}

// decode reads the workload's manifests. An error is of KindInvalid and names
// the object and field.
func decode(w fairway.Workload, host string) (*spec, error) {
	objs, err := parseObjects(w.Manifests)
	if err != nil {
		return nil, err
	}
	r, port, err := objs.choose(w)
	if err != nil {
		return nil, err
	}
	if len(r.template.Spec.Containers) == 0 {
		return nil, fairway.Invalid(r.kind+" "+r.name, "", "has no containers", "add one to spec.template.spec.containers")
	}
	at := container(r.template.Spec.Containers, port, w.Artifact)
	c := r.template.Spec.Containers[at]
	s := &spec{command: c.Command, args: c.Args, workingDir: c.WorkingDir, notRun: objs.notRun(r, at, port)}
	if s.hooks, err = objs.readHooks(w, host); err != nil {
		return nil, err
	}
	s.env, err = resolveEnv(c, source{w: w, objs: objs, template: r.template, host: host})
	if err != nil {
		return nil, fairway.InFile(r.kind+" "+r.name, err)
	}
	if g := r.template.Spec.TerminationGracePeriodSeconds; g != nil {
		s.grace = new(time.Duration(*g) * time.Second)
	}
	s.setProbes(c)
	s.hasPort = len(c.Ports) > 0 || port != nil || s.asksNetwork() || s.namesPort()
	s.setMetrics(r.template.Annotations)
	return s, nil
}

func parseObjects(docs [][]byte) (*objects, error) {
	objs := &objects{configMaps: map[string]corev1.ConfigMap{}, secrets: map[string]corev1.Secret{}}
	var ps []fairway.Problem
	for n, doc := range docs {
		var head metav1.PartialObjectMetadata
		err := unmarshal(doc, &head)
		if err == nil && head.Kind != "" {
			err = objs.add(head, doc)
		}
		if err != nil {
			ps = append(ps, fairway.Problem{File: "manifest " + strconv.Itoa(n+1), Field: strings.TrimSpace(head.Kind + " " + head.Name), Message: "cannot be read: " + err.Error(),
				Remedy: "correct the template; numbers and booleans in env, labels and data need quotes"})
		}
	}
	return objs, fairway.InvalidAll(ps)
}

func (o *objects) add(head metav1.PartialObjectMetadata, doc []byte) error {
	if head.Annotations[hookAnnotation] != "" && (head.Kind == "Job" || head.Kind == "Pod") {
		return o.addHook(head, doc)
	}
	switch head.Kind {
	case "Deployment": // of apps/v1 and of the old extensions/v1beta1, whose pod templates are alike
		var d appsv1.Deployment
		if err := unmarshal(doc, &d); err != nil {
			return err
		}
		o.runnable = append(o.runnable, runnable{kind: d.Kind, name: d.Name, replicas: d.Spec.Replicas, template: d.Spec.Template})
	case "StatefulSet":
		var d appsv1.StatefulSet
		if err := unmarshal(doc, &d); err != nil {
			return err
		}
		o.runnable = append(o.runnable, runnable{kind: d.Kind, name: d.Name, replicas: d.Spec.Replicas, template: d.Spec.Template})
	case "ConfigMap":
		var m corev1.ConfigMap
		if err := unmarshal(doc, &m); err != nil {
			return err
		}
		o.configMaps[m.Name] = m
	case "Secret":
		var m corev1.Secret
		if err := unmarshal(doc, &m); err != nil {
			return err
		}
		o.secrets[m.Name] = m
	case "Service":
		var v corev1.Service
		if err := unmarshal(doc, &v); err != nil {
			return err
		}
		o.services = append(o.services, v)
		o.others = append(o.others, "Kubernetes Service "+head.Name)
	default:
		o.others = append(o.others, head.Kind+" "+head.Name)
	}
	return nil
}

// unmarshal is as strict about types as Kubernetes: a number where a text
// belongs is an error, for 1.0 would become 1.
func unmarshal(doc []byte, into any) error {
	b, err := yaml.YAMLToJSON(doc)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// notRun says what of the objects has no effect here.
func (o *objects) notRun(r runnable, at int, port *intstr.IntOrString) []string {
	var out []string
	c := r.template.Spec.Containers[at]
	add := func(format string, args ...any) { out = append(out, "not run here: "+fmt.Sprintf(format, args...)) }
	pod := r.template.Spec
	for _, other := range pod.InitContainers {
		add("init container %s", other.Name)
	}
	for i, other := range pod.Containers {
		if i != at {
			add("container %s, since only %s is", other.Name, c.Name)
		}
	}
	for _, v := range pod.Volumes {
		add("volume %s", v.Name)
	}
	if r.replicas != nil && *r.replicas > 1 {
		add("replicas %d, one process stands for all", *r.replicas)
	}
	if len(c.Resources.Limits)+len(c.Resources.Requests) > 0 {
		add("resource requests and limits of container %s", c.Name)
	}
	if c.Lifecycle != nil {
		add("lifecycle hooks of container %s", c.Name)
	}
	if c.SecurityContext != nil || pod.SecurityContext != nil {
		add("security context, the program runs as you")
	}
	mapped := max(0, slices.IndexFunc(c.Ports, func(p corev1.ContainerPort) bool { return leadsTo(port, p) }))
	for i, p := range c.Ports {
		if i != mapped {
			add("container port %d, since only %d is mapped", p.ContainerPort, c.Ports[mapped].ContainerPort)
		}
	}
	for kind, p := range map[string]*corev1.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if p != nil && p.GRPC != nil {
			add("%s probe over gRPC; a TCP connection stands for it", kind)
		}
	}
	for _, other := range o.runnable {
		if other.kind != r.kind || other.name != r.name {
			add("%s %s", other.kind, other.name)
		}
	}
	for _, h := range o.hooks {
		if !h.before() {
			add("hook %s %s (%s)", h.kind, h.name, h.hook)
		}
	}
	for _, other := range o.others {
		add("%s", other)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// source is where the values of variables come from.
type source struct {
	w        fairway.Workload
	objs     *objects
	template corev1.PodTemplateSpec
	host     string
}

// resolveEnv returns envFrom's variables, then env's, in their order.
func resolveEnv(c corev1.Container, src source) ([]variable, error) {
	var out []variable
	var ps []fairway.Problem
	for n, from := range c.EnvFrom {
		data, problem := src.all(from)
		if problem != nil {
			problem.Field = fmt.Sprintf("container %s envFrom[%d]", c.Name, n)
			ps = append(ps, *problem)
		}
		for _, key := range slices.Sorted(maps.Keys(data)) {
			out = append(out, variable{name: from.Prefix + key, value: data[key]})
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom == nil {
			out = append(out, variable{name: e.Name, value: e.Value, literal: true})
			continue
		}
		value, ok, problem := src.one(e.ValueFrom)
		if problem != nil {
			problem.Field = fmt.Sprintf("container %s env %s", c.Name, e.Name)
			ps = append(ps, *problem)
		}
		if ok {
			out = append(out, variable{name: e.Name, value: value})
		}
	}
	return out, fairway.InvalidAll(ps)
}

func (src source) all(from corev1.EnvFromSource) (map[string]string, *fairway.Problem) {
	switch {
	case from.ConfigMapRef != nil:
		m, ok := src.objs.configMaps[from.ConfigMapRef.Name]
		if !ok && !isTrue(from.ConfigMapRef.Optional) {
			return nil, absent("ConfigMap", from.ConfigMapRef.Name)
		}
		return m.Data, nil
	case from.SecretRef != nil:
		m, ok := src.objs.secrets[from.SecretRef.Name]
		if !ok && !isTrue(from.SecretRef.Optional) {
			return nil, absent("Secret", from.SecretRef.Name)
		}
		return secretData(m), nil
	}
	return nil, nil
}

func (src source) one(from *corev1.EnvVarSource) (value string, ok bool, problem *fairway.Problem) {
	switch {
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		m, have := src.objs.configMaps[ref.Name]
		if !have {
			problem = absent("ConfigMap", ref.Name)
		} else if value, ok = m.Data[ref.Key]; !ok {
			problem = absent("key "+ref.Key+" of ConfigMap", ref.Name)
		}
		return optional(value, ok, problem, ref.Optional)
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		m, have := src.objs.secrets[ref.Name]
		if !have {
			problem = absent("Secret", ref.Name)
		} else if value, ok = secretData(m)[ref.Key]; !ok {
			problem = absent("key "+ref.Key+" of Secret", ref.Name)
		}
		return optional(value, ok, problem, ref.Optional)
	case from.FieldRef != nil:
		return src.field(from.FieldRef.FieldPath)
	}
	return "", false, &fairway.Problem{Message: "takes its value from a source that the local platform does not have", Remedy: "write the value, or use a ConfigMap, Secret or fieldRef"}
}

func optional(value string, ok bool, problem *fairway.Problem, opt *bool) (string, bool, *fairway.Problem) {
	if isTrue(opt) {
		problem = nil
	}
	return value, ok, problem
}

// field returns what the downward API would say of this instance.
func (src source) field(path string) (string, bool, *fairway.Problem) {
	if key, ok := subscript(path, "metadata.labels"); ok {
		return src.template.Labels[key], true, nil
	}
	if key, ok := subscript(path, "metadata.annotations"); ok {
		return src.template.Annotations[key], true, nil
	}
	fields := map[string]string{
		"metadata.name": src.w.Instance, "metadata.uid": src.w.Instance, "metadata.namespace": string(src.w.Place.Namespace),
		"status.podIP": src.host, "status.podIPs": src.host, "status.hostIP": src.host, "spec.nodeName": "localhost",
		"spec.serviceAccountName": first(src.template.Spec.ServiceAccountName, "default"),
	}
	value, ok := fields[path]
	if !ok {
		return "", false, &fairway.Problem{Value: path, Message: "is a field that the local platform does not have",
			Remedy: "use one of " + strings.Join(slices.Sorted(maps.Keys(fields)), ", ") + ", metadata.labels['KEY'], metadata.annotations['KEY']"}
	}
	return value, true, nil
}

func subscript(path, base string) (string, bool) {
	rest, ok := strings.CutPrefix(path, base+"['")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "']")
}

func secretData(s corev1.Secret) map[string]string {
	data := make(map[string]string, len(s.Data)+len(s.StringData))
	for k, v := range s.Data {
		data[k] = string(v)
	}
	maps.Copy(data, s.StringData)
	return data
}

func absent(what, name string) *fairway.Problem {
	return &fairway.Problem{Message: what + " " + name + " is not among the chart's objects", Remedy: "add it to the chart, or mark the reference optional: true"}
}

func isTrue(b *bool) bool { return b != nil && *b }

// namesPort reports whether {{port}} stands anywhere in the container.
func (s *spec) namesPort() bool {
	has := func(v string) bool { return strings.Contains(v, portPlaceholder) }
	return slices.ContainsFunc(s.command, has) || slices.ContainsFunc(s.args, has) ||
		slices.ContainsFunc(s.env, func(v variable) bool { return v.literal && has(v.value) })
}

// setMetrics reads the annotations by which a pod asks to be scraped.
func (s *spec) setMetrics(annotations map[string]string) {
	if !s.hasPort || annotations["prometheus.io/scrape"] != "true" {
		return
	}
	s.metricsPath = first(annotations["prometheus.io/path"], "/metrics")
	if !strings.HasPrefix(s.metricsPath, "/") {
		s.metricsPath = "/" + s.metricsPath
	}
}
