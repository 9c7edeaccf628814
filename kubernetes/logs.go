package kubernetes

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/fairwaycd/fairway"
)

// Of pods that exist the kubelet is asked; of those that are about to go, the
// output is kept before: logs/DELIVERY/TIME.POD.CONTAINER.log, raw. What a pod
// wrote that a node took with it is lost.

// sidecars are containers of the mesh, whose output says nothing of a version.
var sidecars = []string{"istio-proxy", "istio-init", "istio-validation", "linkerd-proxy", "linkerd-init"}

func containersToRead(pod *corev1.Pod) []string {
	var out []string
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			if !slices.Contains(sidecars, c.Name) {
				out = append(out, c.Name)
			}
		}
	}
	return out
}

func (p *Platform) openLog(ctx context.Context, ns, pod string, o corev1.PodLogOptions) (io.ReadCloser, error) {
	return p.c.core.Get().Namespace(ns).Resource("pods").Name(pod).SubResource("log").VersionedParams(&o, scheme.ParameterCodec).Stream(ctx)
}

// logTail returns the last lines that a container wrote, or "".
func (p *Platform) logTail(ctx context.Context, ns, pod, container string, previous bool) string {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	lines, most := int64(10), int64(4<<10)
	r, err := p.openLog(ctx, ns, pod, corev1.PodLogOptions{Container: container, Previous: previous, TailLines: &lines, LimitBytes: &most})
	if err != nil {
		p.log.Debug("a log cannot be read", "pod", pod, "namespace", ns, "error", err)
		return ""
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, most))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(b), "?"))
}

// keepLogsOf keeps the output of the place's pods, which are about to be
// replaced or stopped, until they have ended.
func (p *Platform) keepLogsOf(place fairway.Place) {
	base, err := p.running()
	if err != nil {
		return
	}
	found, err := p.pods.GetIndexer().ByIndex(byService, string(place.Namespace)+"/"+string(place.Service))
	if err != nil {
		return
	}
	for _, o := range found {
		pod, ok := o.(*corev1.Pod)
		if !ok || pod.Labels[LabelColour] != colourLabel(place.Colour) || pod.Labels[LabelDelivery] == "" {
			continue
		}
		for _, c := range containersToRead(pod) {
			p.keepLog(base, pod, c)
		}
	}
}

// logAttempts is how often a log is asked for again, from its beginning: the pod
// exists for a moment only.
const logAttempts = 5

func (p *Platform) keepLog(base context.Context, pod *corev1.Pod, container string) {
	key := string(pod.UID) + "/" + container
	p.mu.Lock()
	busy := p.keeping[key] || p.closed
	p.keeping[key] = true
	p.mu.Unlock()
	if busy {
		return
	}
	p.wg.Go(func() {
		defer func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.keeping, key)
		}()
		err := p.copyPod(base, pod, container)
		for range logAttempts {
			if err == nil || base.Err() != nil {
				return
			}
			select {
			case <-base.Done():
			case <-time.After(time.Second):
			}
			err = p.copyPod(base, pod, container)
		}
		if err != nil && base.Err() == nil {
			p.log.Warn("the log of a pod could not be kept", "pod", pod.Name, "namespace", pod.Namespace, "container", container, "error", err)
		}
	})
}

func (p *Platform) copyPod(ctx context.Context, pod *corev1.Pod, container string) error {
	r, err := p.openLog(ctx, pod.Namespace, pod.Name, corev1.PodLogOptions{Container: container, Follow: true})
	if err != nil && !passes(err) { // it never ran, or is gone
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	path := filepath.Join(p.o.logDir(), pod.Labels[LabelDelivery], pod.CreationTimestamp.UTC().Format("20060102T150405")+"."+pod.Name+"."+container+".log")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make directory of logs: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// Logs implements [fairway.Platform]. A line of Fairway's own says which pod
// the next lines are from. A delivery without logs is KindNotFound, unless
// follow is set. The end of ctx while it follows is no error.
func (p *Platform) Logs(ctx context.Context, d fairway.DeliveryID, w io.Writer, follow bool) error {
	if err := p.ready(); err != nil {
		return err
	}
	out := &interleaved{w: w}
	pods := p.podsOfDelivery(d)
	kept, err := p.keptLogs(d, pods)
	if err != nil {
		return err
	}
	if len(kept)+len(pods) == 0 && !follow {
		return fairway.Errorf(fairway.KindNotFound, "there are no logs of delivery %s: it has started no pod here, or they are older than %s", d, p.o.LogRetention)
	}
	for _, path := range kept {
		if err := out.file(path); err != nil {
			return err
		}
	}
	if follow {
		return p.followPods(ctx, d, out)
	}
	for _, pod := range pods {
		for _, c := range containersToRead(pod) {
			if err := p.stream(ctx, pod, c, out, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// followPods copies the output of the delivery's pods, also of those that come
// later, until ctx ends.
func (p *Platform) followPods(ctx context.Context, d fairway.DeliveryID, out *interleaved) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begun := map[string]bool{}
	for {
		changed := p.change()
		for _, pod := range p.podsOfDelivery(d) {
			for _, c := range containersToRead(pod) {
				runs, started := starts(pod, c)
				key := fmt.Sprint(pod.UID, "/", c, "/", runs)
				if begun[key] || !started {
					continue
				}
				begun[key] = true
				wg.Go(func() {
					if err := p.stream(ctx, pod, c, out, true); err != nil && ctx.Err() == nil {
						p.log.Debug("a log can no longer be followed", "pod", pod.Name, "error", err)
					}
				})
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// starts says how often the container was started again, and whether it has
// begun this time.
func starts(pod *corev1.Pod, container string) (again int32, begun bool) {
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if s.Name == container {
			return s.RestartCount, s.State.Waiting == nil
		}
	}
	return 0, false
}

// stream copies a container's output. One that has not written yet is no error.
func (p *Platform) stream(ctx context.Context, pod *corev1.Pod, container string, out *interleaved, follow bool) error {
	r, err := p.openLog(ctx, pod.Namespace, pod.Name, corev1.PodLogOptions{Container: container, Follow: follow})
	if err != nil {
		if !passes(err) {
			return nil
		}
		return explain("read the log of pod "+pod.Name, err)
	}
	defer r.Close()
	return out.copy(pod.Name+" "+container, r)
}

func (p *Platform) podsOfDelivery(d fairway.DeliveryID) []*corev1.Pod {
	var out []*corev1.Pod
	for _, o := range p.pods.GetStore().List() {
		if pod, ok := o.(*corev1.Pod); ok && pod.Labels[LabelDelivery] == labelValue(string(d)) {
			out = append(out, pod)
		}
	}
	slices.SortFunc(out, func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// keptLogs names the delivery's files, oldest first, but those of pods that
// exist: they are asked.
func (p *Platform) keptLogs(d fairway.DeliveryID, pods []*corev1.Pod) ([]string, error) {
	dir := filepath.Join(p.o.logDir(), labelValue(string(d)))
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	var out []string
	for _, e := range entries {
		name := strings.Split(e.Name(), ".")
		if len(name) > 1 && slices.ContainsFunc(pods, func(pod *corev1.Pod) bool { return strings.Contains(e.Name(), "."+pod.Name+".") }) {
			continue
		}
		out = append(out, filepath.Join(dir, e.Name()))
	}
	return out, nil
}

// interleaved writes whole lines of several sources, and says whose they are
// where that changes.
type interleaved struct {
	mu   sync.Mutex
	w    io.Writer
	last string
}

func (i *interleaved) copy(source string, r io.Reader) error {
	buf := make([]byte, 32<<10)
	rest := 0
	for {
		n, err := r.Read(buf[rest:])
		n += rest
		end := bytes.LastIndexByte(buf[:n], '\n') + 1
		if err != nil || end == 0 && n == len(buf) {
			end = n
		}
		if werr := i.write(source, buf[:end]); werr != nil {
			return werr
		}
		rest = copy(buf, buf[end:n])
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
				return nil
			}
			return fmt.Errorf("read the log of %s: %w", source, err)
		}
	}
}

func (i *interleaved) write(source string, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.last != source {
		if _, err := fmt.Fprintf(i.w, "fairway: pod %s\n", source); err != nil {
			return fmt.Errorf("copy log: %w", err)
		}
		i.last = source
	}
	if _, err := i.w.Write(b); err != nil {
		return fmt.Errorf("copy log: %w", err)
	}
	return nil
}

func (i *interleaved) file(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) { // retention was faster
		return nil
	}
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer f.Close()
	parts := strings.Split(filepath.Base(path), ".")
	return i.copy(strings.Join(parts[1:len(parts)-1], " "), f)
}

// retainLogs drops old logs now and once an hour until ctx ends.
func (p *Platform) retainLogs(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := dropOld(p.o.logDir(), p.now().Add(-p.o.LogRetention)); err != nil {
			p.log.Warn("old logs could not be removed; trying again in an hour", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// dropOld removes the logs that nobody has written to since before, and
// directories that are empty then.
func dropOld(dir string, before time.Time) error {
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.log"))
	if err != nil {
		return fmt.Errorf("list logs: %w", err)
	}
	var errs []error
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil || info.ModTime().After(before) {
			continue
		}
		errs = append(errs, os.Remove(path))
		if left, err := os.ReadDir(filepath.Dir(path)); err == nil && len(left) == 0 {
			// One that is written to meanwhile makes it again, or makes this fail.
			_ = os.Remove(filepath.Dir(path))
		}
	}
	return errors.Join(errs...)
}
