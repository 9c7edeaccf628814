package kubernetes

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/fairwaycd/fairway"
)

// listing answers the lists of an API server with n services, each with a
// colour that serves and one that is idle, three pods each.
func listing(b *testing.B, n int) http.Handler {
	b.Helper()
	var deployments appsv1.DeploymentList
	var pods corev1.PodList
	for i := range n {
		for _, c := range []fairway.Colour{fairway.Blue, fairway.Green} {
			name := fmt.Sprintf("service-%d-%s", i, c)
			w := workloadFor(c, named(name))
			w.Place.Service, w.Instance = fairway.ServiceName(fmt.Sprintf("service-%d", i)), name+".production.1"
			r, err := read(w, all)
			if err != nil {
				b.Fatal(err)
			}
			if err := r.label("default"); err != nil {
				b.Fatal(err)
			}
			var d appsv1.Deployment
			if err := convert(r.workload, &d); err != nil {
				b.Fatal(err)
			}
			d.Namespace, d.ManagedFields = "production", []metav1.ManagedFieldsEntry{{Manager: "fairway", FieldsV1: metav1.NewFieldsV1(`{"f:spec":` + strings.Repeat(" ", 2000) + `{}}`)}}
			deployments.Items = append(deployments.Items, d)
			for k := range 3 {
				pod := corev1.Pod{ObjectMeta: *d.Spec.Template.ObjectMeta.DeepCopy(), Spec: d.Spec.Template.Spec}
				pod.Name, pod.Namespace, pod.ManagedFields = fmt.Sprintf("%s-%d", name, k), "production", d.ManagedFields
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", Ready: true, Image: "r/web:1"}}
				pods.Items = append(pods.Items, pod)
			}
		}
	}
	lists := map[string]any{"deployments": &deployments, "statefulsets": &appsv1.StatefulSetList{}, "pods": &pods}
	kinds := map[string][2]string{"deployments": {"apps/v1", "DeploymentList"}, "statefulsets": {"apps/v1", "StatefulSetList"}, "pods": {"v1", "PodList"}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		resource := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		switch {
		case r.URL.Query().Get("sendInitialEvents") != "":
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
		case r.URL.Query().Get("watch") != "":
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case lists[resource] != nil:
			body, err := json.Marshal(lists[resource])
			if err != nil {
				panic(err)
			}
			head := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,`, kinds[resource][0], kinds[resource][1])
			fmt.Fprint(w, strings.Replace(string(body), "{", head, 1))
		case resource == "version":
			fmt.Fprint(w, `{"gitVersion":"v1.34.0"}`)
		default:
			fmt.Fprint(w, `{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscalerList","items":[]}`)
		}
	})
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// BenchmarkAThousandServices tells the time of a start and the memory that
// 1 000 services cost, with two colours of three pods each.
func BenchmarkAThousandServices(b *testing.B) {
	s := httptest.NewServer(listing(b, 1000))
	defer s.Close()
	b.ResetTimer()
	for range b.N {
		before := heap()
		p, err := New(Options{Config: &rest.Config{Host: s.URL, QPS: 100, Burst: 200}, Dir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if err := p.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		started := time.Since(began)
		found, err := p.Instances(b.Context())
		if err != nil || len(found) != 2000 {
			b.Fatalf("%d instances: %v", len(found), err)
		}
		asked := time.Now()
		if _, err := p.Instances(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(asked).Milliseconds()), "ms/list")
		b.ReportMetric(float64(started.Milliseconds()), "ms/start")
		b.ReportMetric(heap()-before, "MB")
		if err := p.Shutdown(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
