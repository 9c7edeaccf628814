package kubernetes

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/fairwaycd/fairway"
)

// object is one rendered object.
type object = unstructured.Unstructured

// ref names an object within the namespace of its place, or of the cluster.
type ref struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
}

func refOf(o *object) ref { return ref{o.GetAPIVersion(), o.GetKind(), o.GetName()} }

func (r ref) String() string { return r.Kind + " " + r.Name }

// same reports whether both are the same object, in whatever version of the API.
func (r ref) same(o ref) bool {
	return r.Kind == o.Kind && r.Name == o.Name && schema.FromAPIVersionAndKind(r.APIVersion, r.Kind).Group == schema.FromAPIVersionAndKind(o.APIVersion, o.Kind).Group
}

func contains(refs []ref, r ref) bool { return slices.ContainsFunc(refs, r.same) }

// record is what the workload says of its instance beside its labels.
type record struct {
	Instance    string    `json:"instance"`
	StartedAt   time.Time `json:"startedAt"`
	Port        string    `json:"port,omitempty"` // of the Kubernetes Service that leads to it
	MetricsPort string    `json:"metricsPort,omitempty"`
	MetricsPath string    `json:"metricsPath,omitempty"`
	HealthPath  string    `json:"healthPath,omitempty"`
	NotRun      []string  `json:"notRun,omitempty"`
	// Objects are those that were applied with it.
	Objects []ref `json:"objects,omitempty"`
}

// rendering is a workload, read.
type rendering struct {
	w        fairway.Workload
	hooks    []hook
	objects  []*object // in the order in which they are applied; not the workload
	workload *object
	services []corev1.Service // what leads to it: for the port
	rec      record
}

// workloadKinds are what runs a version.
func isWorkload(o *object) bool { return o.GetKind() == "Deployment" || o.GetKind() == "StatefulSet" }

// trafficGroup is the API group of what another adapter applies.
const trafficGroup = "networking.istio.io"

// read decodes the workload's objects and brings them to versions that the
// cluster serves. An error is of KindInvalid and names the objects.
func read(w fairway.Workload, served func(schema.GroupVersionKind) bool) (*rendering, error) {
	r := &rendering{w: w}
	var ps []fairway.Problem
	var all []*object
	for n, doc := range w.Manifests {
		o, err := r.decode(doc, served)
		if err != nil {
			ps = append(ps, problemsOf(err, "manifest "+strconv.Itoa(n+1))...)
		} else if o != nil {
			all = append(all, o)
		}
	}
	var shared []*object
	for n, doc := range w.Shared {
		o, err := r.decodeShared(doc, served)
		if err != nil {
			ps = append(ps, problemsOf(err, "shared manifest "+strconv.Itoa(n+1))...)
		} else if o != nil {
			shared = append(shared, o)
		}
	}
	if err := fairway.InvalidAll(ps); err != nil {
		return nil, err
	}
	for _, o := range slices.Concat(shared, all) {
		if o.GetAnnotations()[hookAnnotation] != "" {
			if err := r.addHook(o); err != nil {
				return nil, err
			}
			continue
		}
		r.objects = append(r.objects, o)
	}
	if err := r.choose(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(r.hooks, func(a, b hook) int {
		return cmp.Or(cmp.Compare(a.weight, b.weight), cmp.Compare(a.GetName(), b.GetName()))
	})
	return r, r.describe()
}

func problemsOf(err error, file string) []fairway.Problem {
	if ps := fairway.Problems(fairway.InFile(file, err)); len(ps) > 0 {
		return ps
	}
	return []fairway.Problem{{File: file, Message: err.Error()}}
}

// decode returns nil for what is not applied.
func (r *rendering) decode(doc []byte, served func(schema.GroupVersionKind) bool) (*object, error) {
	o, err := parse(doc)
	if err != nil {
		return nil, err
	}
	if ns := o.GetNamespace(); ns != "" && ns != string(r.w.Place.Namespace) {
		return nil, fairway.Invalid(refOf(o).String()+" metadata.namespace", ns, "is not the stage's namespace "+string(r.w.Place.Namespace),
			"leave the namespace out, or write {{ .Release.Namespace }}")
	}
	note, err := upgrade(o, served)
	if note != "" {
		r.rec.NotRun = append(r.rec.NotRun, note)
	}
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return o, wellTyped(o)
}

// decodeShared leaves out what leads traffic: another adapter applies that.
func (r *rendering) decodeShared(doc []byte, served func(schema.GroupVersionKind) bool) (*object, error) {
	o, err := parse(doc)
	if err != nil {
		return nil, err
	}
	gvk := o.GroupVersionKind()
	if gvk.Group == trafficGroup {
		return nil, nil
	}
	if gvk.Group == "" && gvk.Kind == "Service" {
		return nil, r.addService(o)
	}
	return r.decode(doc, served)
}

func parse(doc []byte) (*object, error) {
	b, err := yaml.YAMLToJSON(doc)
	if err != nil {
		return nil, fairway.Invalid("", "", "is not valid YAML: "+err.Error(), "correct the template")
	}
	o := &object{}
	if err := o.UnmarshalJSON(b); err != nil {
		return nil, fairway.Invalid("", "", "is not a Kubernetes object: "+err.Error(), "give it apiVersion, kind and metadata.name")
	}
	if o.GetName() == "" {
		return nil, fairway.Invalid(o.GetKind(), "", "has no metadata.name", "name it")
	}
	return o, nil
}

// wellTyped refuses a number where a text belongs, and the like, before
// anything is sent. Kinds that are not built in are left to the cluster.
func wellTyped(o *object) error {
	typed, err := scheme.Scheme.New(o.GroupVersionKind())
	if err != nil {
		return nil //nolint:nilerr // a kind of a custom resource definition
	}
	if err := convert(o, typed); err != nil {
		return fairway.Invalid(refOf(o).String(), "", "cannot be read: "+err.Error(), "correct the template; numbers and booleans in env, labels and data need quotes")
	}
	return nil
}

func convert(o *object, into any) error {
	// By way of JSON: the converter of apimachinery panics at some wrong types.
	b, err := json.Marshal(o.Object)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

func (r *rendering) addService(o *object) error {
	var s corev1.Service
	if err := convert(o, &s); err != nil {
		return fairway.Invalid(refOf(o).String(), "", "cannot be read: "+err.Error(), "correct the template")
	}
	r.services = append(r.services, s)
	return nil
}

// choose finds the workload that is the version among the objects: the one
// with the place's name, else the one that runs the artifact, else the first.
func (r *rendering) choose() error {
	at := -1
	for i, o := range r.objects {
		if o.GroupVersionKind().Group == "" && o.GetKind() == "Service" {
			if err := r.addService(o); err != nil {
				return err
			}
		}
		if isWorkload(o) && (at < 0 || r.rank(o) > r.rank(r.objects[at])) {
			at = i
		}
	}
	if at < 0 {
		return fairway.Invalid("chart", string(r.w.Place.Service), "renders no Deployment or StatefulSet", "add one named "+r.w.Place.Workload())
	}
	r.workload = r.objects[at]
	r.objects = slices.Delete(r.objects, at, at+1)
	return nil
}

func (r *rendering) rank(o *object) int {
	if o.GetName() == r.w.Place.Workload() {
		return 2
	}
	for _, c := range containersOf(o) {
		if image := text(c, "image"); image == r.w.Artifact.Ref() || image == r.w.Artifact.String() || strings.HasPrefix(image, r.w.Artifact.String()+"@") {
			return 1
		}
	}
	return 0
}

func containersOf(o *object) []map[string]any {
	list, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	var out []map[string]any
	for _, c := range list {
		if m, ok := c.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func text(m map[string]any, path ...string) string {
	s, _, _ := unstructured.NestedString(m, path...)
	return s
}

// describe reads ports and paths from the pod template, and says what is not
// applied.
func (r *rendering) describe() error {
	t, err := templateOf(r.workload)
	if err != nil {
		return err
	}
	if len(t.Spec.Containers) == 0 {
		return fairway.Invalid(refOf(r.workload).String(), "", "has no containers", "add one to spec.template.spec.containers")
	}
	c := t.Spec.Containers[max(0, slices.IndexFunc(t.Spec.Containers, func(c corev1.Container) bool {
		return c.Image == r.w.Artifact.Ref() || strings.HasPrefix(c.Image, r.w.Artifact.String())
	}))]
	if p := c.ReadinessProbe; p != nil && p.HTTPGet != nil {
		r.rec.HealthPath = cmp.Or(p.HTTPGet.Path, "/")
	}
	r.rec.Port = r.port(t, c)
	if a := t.Annotations; a["prometheus.io/scrape"] == "true" {
		r.rec.MetricsPort = a["prometheus.io/port"]
		if r.rec.MetricsPort == "" && len(c.Ports) > 0 {
			r.rec.MetricsPort = strconv.Itoa(int(c.Ports[0].ContainerPort))
		}
		r.rec.MetricsPath = "/" + strings.TrimPrefix(cmp.Or(a["prometheus.io/path"], "/metrics"), "/")
	}
	for _, h := range r.hooks {
		if !h.before() {
			r.rec.NotRun = append(r.rec.NotRun, fmt.Sprintf("not run here: hook %s %s (%s)", h.GetKind(), h.GetName(), h.when))
		}
	}
	r.hooks = slices.DeleteFunc(r.hooks, func(h hook) bool { return !h.before() })
	slices.Sort(r.rec.NotRun)
	r.rec.NotRun = slices.Compact(r.rec.NotRun)
	return nil
}

// port is that of the Kubernetes Service whose selector means the pods.
func (r *rendering) port(t corev1.PodTemplateSpec, c corev1.Container) string {
	for _, s := range r.services {
		if len(s.Spec.Ports) > 0 && len(s.Spec.Selector) > 0 && selects(s.Spec.Selector, t.Labels) {
			return strconv.Itoa(int(s.Spec.Ports[0].Port))
		}
	}
	if len(c.Ports) > 0 {
		return strconv.Itoa(int(c.Ports[0].ContainerPort))
	}
	return ""
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

func templateOf(o *object) (corev1.PodTemplateSpec, error) {
	var typed struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := convert(o, &typed); err != nil {
		return corev1.PodTemplateSpec{}, fairway.Invalid(refOf(o).String(), "", "cannot be read: "+err.Error(), "correct the template")
	}
	return typed.Spec.Template, nil
}

var _ runtime.Object = (*object)(nil)

// label gives the objects their owner's labels, and the workload's pods those
// of the version.
func (r *rendering) label(installation string) error {
	for _, o := range append(slices.Clone(r.objects), r.hookObjects()...) {
		merge(o, owner(r.w, installation), "metadata", "labels")
		if _, ok, _ := unstructured.NestedMap(o.Object, "spec", "template"); ok && o.GetKind() != "Job" {
			merge(o, map[string]string{LabelInstallation: installation, LabelProject: string(r.w.Project), labelPart: string(r.w.Place.Service)}, "spec", "template", "metadata", "labels")
		}
	}
	for _, h := range r.hooks {
		if h.runs() {
			merge(h.object, map[string]string{LabelInstance: labelValue(r.w.Instance)}, "metadata", "labels")
		}
	}
	o := r.workload
	pods := podLabels(r.w, installation)
	selector, _, _ := unstructured.NestedStringMap(o.Object, "spec", "selector", "matchLabels")
	for k := range pods {
		if _, taken := selector[k]; taken {
			delete(pods, k) // the selector cannot change, so neither can the label
		}
	}
	merge(o, pods, "spec", "template", "metadata", "labels")
	merge(o, map[string]string{annotationDelivery: string(r.w.Delivery), annotationVersion: r.w.Artifact.Tag, annotationInstance: r.w.Instance},
		"spec", "template", "metadata", "annotations")
	merge(o, owner(r.w, installation), "metadata", "labels")
	merge(o, podLabels(r.w, installation), "metadata", "labels")
	for _, other := range r.objects {
		r.rec.Objects = append(r.rec.Objects, refOf(other))
	}
	for _, h := range r.hooks {
		r.rec.Objects = append(r.rec.Objects, refOf(h.object))
	}
	r.rec.Instance = r.w.Instance
	body, err := json.Marshal(r.rec)
	if err != nil {
		return fmt.Errorf("encode the record of %s: %w", r.w.Instance, err)
	}
	merge(o, map[string]string{
		annotationInstance: r.w.Instance, annotationDelivery: string(r.w.Delivery), annotationArtifact: r.w.Artifact.String(),
		annotationDigest: r.w.Artifact.Digest, annotationCommit: r.w.Commit, annotationRecord: string(body),
		annotationStopping: "", // of what stood there before
	}, "metadata", "annotations")
	return nil
}

// merge sets keys of a map of texts, which is made where there is none.
func merge(o *object, add map[string]string, path ...string) {
	m, _, _ := unstructured.NestedMap(o.Object, path...)
	if m == nil {
		m = map[string]any{}
	}
	for k, v := range add {
		m[k] = v
	}
	// The path's parents are maps: wellTyped has seen them.
	_ = unstructured.SetNestedMap(o.Object, m, path...)
}
