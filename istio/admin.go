package istio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// lookLimit bounds one question to an Envoy.
	lookLimit = 5 * time.Second
	// lookAgain is how long an answer is good for others who ask the same.
	lookAgain = 50 * time.Millisecond
)

// envoys are the gateway's pods that somebody asks at present.
type envoys struct {
	config *rest.Config
	port   int

	mu      sync.Mutex
	open    map[string]*envoy
	stopped bool
}

// envoy asks the Envoy of one pod. All who ask share its connection, which is
// closed when the last has done.
type envoy struct {
	pod    string
	to     *forward
	client *http.Client
	users  int // under envoys.mu

	turn  chan struct{} // held by whoever looks
	last  *view
	asked time.Time
}

// use returns the pod's Envoy; done has to be called once.
func (e *envoys) use(ns, pod, uid string) (v *envoy, done func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return nil, nil, errors.New("it is being stopped")
	}
	v = e.open[uid]
	if v == nil {
		f, err := newForward(e.config, ns, pod, e.port)
		if err != nil {
			return nil, nil, err
		}
		v = &envoy{pod: pod, to: f, turn: make(chan struct{}, 1),
			client: &http.Client{Transport: &http.Transport{DialContext: f.dial, MaxIdleConnsPerHost: 4, DisableCompression: true}}}
		e.open[uid] = v
	}
	v.users++
	return v, sync.OnceFunc(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if v.users--; v.users == 0 {
			delete(e.open, uid)
			v.close()
		}
	}), nil
}

func (e *envoys) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
	for _, v := range e.open {
		v.close()
	}
}

func (v *envoy) close() {
	v.client.CloseIdleConnections()
	v.to.close()
}

// routes returns what the Envoy says of its routes now. As long as their
// versions are the same, only those are asked for.
func (v *envoy) routes(ctx context.Context) (view, error) {
	select {
	case v.turn <- struct{}{}:
		defer func() { <-v.turn }()
	case <-ctx.Done():
		return view{}, ctx.Err()
	}
	if v.last != nil && time.Since(v.asked) < lookAgain {
		return *v.last, nil
	}
	const dump = "/config_dump?resource=dynamic_route_configs"
	if v.last != nil {
		now, err := ask(ctx, v, dump+"&mask=version_info,last_updated,error_state", readRoutes)
		if err != nil {
			return view{}, err
		}
		if maps.Equal(now.versions, v.last.versions) {
			v.last.refused, v.asked = now.refused, time.Now()
			return *v.last, nil
		}
	}
	now, err := ask(ctx, v, dump, readRoutes)
	if err != nil {
		return view{}, err
	}
	v.last, v.asked = &now, time.Now()
	return now, nil
}

// clusters returns the endpoints of the clusters that the regular expression
// matches.
func (v *envoy) clusters(ctx context.Context, names string) (map[string]map[string]member, error) {
	return ask(ctx, v, "/clusters?filter="+url.QueryEscape(names), readClusters)
}

// ask reads an answer of the Envoy's admin port.
func ask[T any](ctx context.Context, v *envoy, path string, read func(io.Reader) (T, error)) (T, error) {
	var none T
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy"+path, nil)
	if err != nil {
		return none, fmt.Errorf("make a request: %w", err)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.to.reset() // it may be the connection that does not answer
		return none, plain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return none, fmt.Errorf("its admin port answers %s", resp.Status)
	}
	out, err := read(resp.Body)
	if err != nil {
		v.to.reset()
	}
	return out, err
}

// plain takes the request's address, which says nothing to anybody, out of an
// error.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "API server") {
		return fmt.Errorf("its admin port does not answer within %s: %w", lookLimit, err)
	}
	return err
}
