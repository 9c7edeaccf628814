package istio

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/fairwaycd/fairway"
)

const (
	manager = "fairway" // of the fields that are applied
	// requestLimit bounds one request. Istio's validating webhook may take ten
	// seconds to fail.
	requestLimit = 15 * time.Second

	labelManaged = "app.kubernetes.io/managed-by"
	labelProject = "fairway.dev/project"
	labelStage   = "fairway.dev/stage"
	labelService = "fairway.dev/service"
	labelColour  = "fairway.dev/colour"
	// labelPart tells objects that lead traffic from those that run.
	labelPart   = "fairway.dev/traffic"
	partWeights = "weights" // the VirtualService with the weights
	partColour  = "colour"  // of one colour alone
	partShared  = "shared"  // all else
)

var (
	services         = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	pods             = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	nodes            = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	endpointSlices   = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
	virtualServices  = schema.GroupVersionResource{Group: istioGroup, Version: "v1", Resource: "virtualservices"}
	destinationRules = schema.GroupVersionResource{Group: istioGroup, Version: "v1", Resource: "destinationrules"}
	gateways         = schema.GroupVersionResource{Group: istioGroup, Version: "v1", Resource: "gateways"}
)

const istioGroup = "networking.istio.io"

// cluster reads and applies objects, and turns the API server's errors into
// the project's.
type cluster struct {
	client dynamic.Interface
	force  bool
	owned  *sync.Map // objects that were seen to be ours, by reference
}

func selector(pairs ...string) string {
	all := []string{labelManaged + "=" + manager}
	for i := 0; i+1 < len(pairs); i += 2 {
		all = append(all, pairs[i]+"="+pairs[i+1])
	}
	return strings.Join(all, ",")
}

// get returns the object, or nil when it is not there.
func (c cluster) get(ctx context.Context, r schema.GroupVersionResource, ns, name string) (*unstructured.Unstructured, error) {
	o, err := c.client.Resource(r).Namespace(ns).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, classify("read", r.Resource, ns, name, err)
	}
	return o, nil
}

// list returns the objects that the selector matches, at most limit; a limit
// of 0 means all.
func (c cluster) list(ctx context.Context, r schema.GroupVersionResource, ns, sel string, limit int64) ([]unstructured.Unstructured, error) {
	o := metav1.ListOptions{LabelSelector: sel, Limit: limit}
	if limit == 0 {
		o.Limit = 500
	}
	var all []unstructured.Unstructured
	for {
		page, err := c.client.Resource(r).Namespace(ns).List(ctx, o)
		if err != nil {
			return nil, classify("list", r.Resource, ns, "", err)
		}
		all = append(all, page.Items...)
		if o.Continue = page.GetContinue(); o.Continue == "" || limit > 0 {
			return all, nil
		}
	}
}

// apply writes the object, unless it is somebody else's. With a resource
// version in it the object must still have that one: errMoved says that it has
// not. Take makes fields ours that others have set since.
func (c cluster) apply(ctx context.Context, r schema.GroupVersionResource, o *unstructured.Unstructured, take bool) error {
	if err := c.mine(ctx, r, o); err != nil {
		return err
	}
	_, err := c.client.Resource(r).Namespace(o.GetNamespace()).Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: manager, Force: c.force || take})
	if err == nil {
		c.owned.Store(reference(o), true)
		return nil
	}
	if apierrors.IsConflict(err) && o.GetResourceVersion() != "" && len(conflicts(err)) == 0 {
		return errMoved
	}
	return classify("apply", strings.ToLower(o.GetKind()), o.GetNamespace(), o.GetName(), err)
}

// errMoved says that somebody else has changed the object since it was read.
var errMoved = errors.New("the object has changed since it was read")

func reference(o *unstructured.Unstructured) string {
	return o.GetKind() + "/" + o.GetNamespace() + "/" + o.GetName()
}

// mine refuses to take over what another has made.
func (c cluster) mine(ctx context.Context, r schema.GroupVersionResource, o *unstructured.Unstructured) error {
	if _, ok := c.owned.Load(reference(o)); ok {
		return nil
	}
	live, err := c.get(ctx, r, o.GetNamespace(), o.GetName())
	if err != nil || live == nil {
		return err
	}
	return ours(live, o.GetLabels()[labelProject], c.force)
}

// ours refuses an object that another tool manages, that another project has,
// or, unless it is to be taken over, that Fairway did not make.
func ours(live *unstructured.Unstructured, project string, force bool) error {
	l := live.GetLabels()
	what := fmt.Sprintf("%s %s in namespace %s", live.GetKind(), live.GetName(), live.GetNamespace())
	if by := otherManager(live); by != "" {
		return fairway.Errorf(fairway.KindRefused, "%s is managed by %s, which would undo what Fairway does; take it out of there first, or give the stage a namespace of its own", what, by)
	}
	if l[labelManaged] == manager && l[labelProject] != project {
		return fairway.Errorf(fairway.KindConflict, "%s belongs to project %s; give the stage of project %s a namespace of its own, such as %s-%s",
			what, l[labelProject], project, project, live.GetNamespace())
	}
	if l[labelManaged] == manager || force {
		return nil
	}
	return fairway.Errorf(fairway.KindRefused, "%s exists already, and Fairway did not make it; delete it, give the stage a namespace of its own, or start Fairway with --force-conflicts to take it over", what)
}

// otherManager names the tool that would put back what Fairway changes.
func otherManager(live *unstructured.Unstructured) string {
	a, l := live.GetAnnotations(), live.GetLabels()
	switch {
	case a["argocd.argoproj.io/tracking-id"] != "", l["argocd.argoproj.io/instance"] != "":
		return "Argo CD"
	case l["kustomize.toolkit.fluxcd.io/name"] != "", l["helm.toolkit.fluxcd.io/name"] != "":
		return "Flux"
	case l[labelManaged] == manager:
		return ""
	case a["meta.helm.sh/release-name"] != "":
		return "Helm (release " + a["meta.helm.sh/release-name"] + ")"
	}
	return l[labelManaged]
}

// remove deletes the object; what is not there is deleted.
func (c cluster) remove(ctx context.Context, r schema.GroupVersionResource, o *unstructured.Unstructured) error {
	c.owned.Delete(reference(o))
	err := c.client.Resource(r).Namespace(o.GetNamespace()).Delete(ctx, o.GetName(), metav1.DeleteOptions{})
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	return classify("delete", r.Resource, o.GetNamespace(), o.GetName(), err)
}

// missing reports whether the API server does not know the resource at all.
func missing(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) }

// conflicts lists the fields that other managers hold.
func conflicts(err error) []string {
	var s apierrors.APIStatus
	if !errors.As(err, &s) || s.Status().Details == nil {
		return nil
	}
	var all []string
	for _, c := range s.Status().Details.Causes {
		if c.Type == metav1.CauseTypeFieldManagerConflict {
			all = append(all, c.Field+" ("+c.Message+")")
		}
	}
	sort.Strings(all)
	return all
}

// classify says what could not be done with what, and of which kind that is.
func classify(verb, what, ns, name string, err error) error {
	where := strings.TrimSpace(what+" "+name) + " in namespace " + ns
	if ns == "" {
		where = strings.TrimSpace(what + " " + name)
	}
	switch {
	case apierrors.IsConflict(err) && len(conflicts(err)) > 0:
		return fairway.Errorf(fairway.KindConflict, "%s %s: others have set fields that Fairway sets: %s; undo that, or start Fairway with --force-conflicts",
			verb, where, strings.Join(conflicts(err), ", "))
	case apierrors.IsConflict(err):
		return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "%s %s: %w", verb, where, err))
	case apierrors.IsNotFound(err):
		return fairway.Errorf(fairway.KindNotFound, "%s %s: %w", verb, where, err)
	case apierrors.IsUnauthorized(err), apierrors.IsForbidden(err) && !strings.Contains(err.Error(), "admission webhook"):
		return fairway.Errorf(fairway.KindUnauthorized, "%s %s: the cluster does not let Fairway do that; give its account the right to: %w", verb, where, err)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsForbidden(err):
		return fairway.Errorf(fairway.KindInvalid, "%s %s: the cluster refuses it: %w", verb, where, err)
	case strings.Contains(err.Error(), "failed calling webhook"):
		return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "%s %s: istiod, which the API server asks whether that is valid, does not answer: %w", verb, where, err))
	}
	return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "%s %s: %w", verb, where, err))
}
