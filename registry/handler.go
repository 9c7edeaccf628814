package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	v2 "github.com/distribution/distribution/v3/registry/api/v2"
	"github.com/gorilla/mux"

	"github.com/fairwaycd/fairway"
)

const (
	gateSize      = 1 << 20          // more requests than there will ever be at once
	gatePatience  = 60 * time.Second // how long a push waits for Collect
	eventPatience = 30 * time.Second // how long OnPush may take
)

// Handler serves /v2/. Everything but manifest PUTs and blob uploads passes
// straight through to the library and is streamed.
func (r *Registry) Handler() http.Handler { return http.HandlerFunc(r.serve) }

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	var match mux.RouteMatch
	if !r.routes.Match(req, &match) || match.Route == nil {
		r.app.ServeHTTP(w, req)
		return
	}
	name, reference, digest := match.Vars["name"], match.Vars["reference"], match.Vars["digest"]
	writes := req.Method == http.MethodPut || req.Method == http.MethodPost || req.Method == http.MethodPatch
	switch route := match.Route.GetName(); {
	case route == v2.RouteNameManifest && req.Method == http.MethodPut:
		r.putManifest(w, req, name, reference)
	case (route == v2.RouteNameBlobUpload || route == v2.RouteNameBlobUploadChunk) && writes:
		r.upload(w, req, name, match.Vars["uuid"])
	case route == v2.RouteNameManifest && r.isUntold(name, reference):
		writeError(w, http.StatusNotFound, "MANIFEST_UNKNOWN", fmt.Sprintf("the delivery of %s:%s could not be recorded when it was pushed; push it again", name, reference))
	default:
		if req.Method == http.MethodHead {
			// A client that asks is about to leave out what it need not push.
			r.disk.touch(digest)
			r.disk.touch(reference)
		}
		r.app.ServeHTTP(w, req)
	}
}

// enter waits until Collect, if it runs, is done.
func (r *Registry) enter(ctx context.Context) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, gatePatience)
	defer cancel()
	if err := r.gate.Acquire(ctx, 1); err != nil {
		return nil, fairway.Errorf(fairway.KindUnavailable, "the registry is being cleaned up; push again: %w", err)
	}
	return func() { r.gate.Release(1) }, nil
}

// putManifest stores a manifest, and for a tag has its event stored before it
// lets go of the answer.
func (r *Registry) putManifest(w http.ResponseWriter, req *http.Request, name, reference string) {
	ctx := req.Context()
	if err := r.o.Room(max(req.ContentLength, 0)); err != nil {
		refuseFull(w, err)
		return
	}
	// Read first: a slow client must not hold the locks.
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, r.o.MaxManifest))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		writeError(w, http.StatusRequestEntityTooLarge, "SIZE_INVALID", fmt.Sprintf("the manifest is larger than %d bytes", r.o.MaxManifest))
		return
	} else if err != nil {
		writeError(w, http.StatusBadRequest, "MANIFEST_INVALID", "the manifest could not be read to its end")
		return
	}
	tells := isTag(reference)
	if tells {
		if err := r.o.Admit(ctx, name, reference); err != nil {
			writeError(w, http.StatusForbidden, "DENIED", err.Error())
			return
		}
		unlock, err := r.tags.lock(ctx, name+":"+reference)
		if err != nil {
			writeError(w, http.StatusServiceUnavailable, "UNAVAILABLE", "another push of this tag is under way; push again")
			return
		}
		defer unlock()
	}
	answer, ok := r.store(w, req, body)
	if !ok {
		return
	}
	if answer.status == http.StatusCreated && tells {
		p := Push{Repository: name, Tag: reference, Digest: answer.header.Get("Docker-Content-Digest"), MediaType: req.Header.Get("Content-Type")}
		if mt, _, err := mime.ParseMediaType(p.MediaType); err == nil {
			p.MediaType = mt
		}
		err := r.tell(ctx, p)
		r.setUntold(name, reference, err != nil)
		if err != nil {
			r.refuse(w, p, err)
			return
		}
	}
	answer.release(w)
}

// store has the library store the manifest; if it could not be asked, the
// client has its answer and ok is false.
func (r *Registry) store(w http.ResponseWriter, req *http.Request, body []byte) (answer *answer, ok bool) {
	leave, err := r.enter(req.Context())
	if err != nil {
		writeError(w, http.StatusServiceUnavailable, "UNAVAILABLE", err.Error())
		return nil, false
	}
	defer leave()
	req = req.Clone(req.Context())
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return r.ask(req), true
}

// ask lets the library answer into memory. Its answers to writes are small.
func (r *Registry) ask(req *http.Request) *answer {
	var t trouble
	a := &answer{header: http.Header{}}
	r.app.ServeHTTP(a, req.WithContext(context.WithValue(req.Context(), troubleKey{}, &t)))
	if a.status >= 500 && t.full.Load() {
		*a = answer{header: http.Header{}}
		writeError(a, http.StatusInsufficientStorage, "UNAVAILABLE", "the disk that holds Fairway's data directory is full; nothing was stored; make room there and push again")
	}
	return a
}

// tell has the push's event stored. The image is stored already, so the client's
// going away is no reason to give up.
func (r *Registry) tell(ctx context.Context, p Push) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), eventPatience)
	defer cancel()
	r.o.Failpoint("registry.put.before-event")
	if err := r.o.OnPush(ctx, p); err != nil {
		return err
	}
	r.o.Failpoint("registry.put.after-event")
	return nil
}

// setUntold notes whether the tag's last push failed for want of its event. Until
// the tag is pushed again it is hidden: clients ask for a tag first and push
// nothing when it names their image already, so that the event would never come.
// After a restart the comparison with Tags finds it.
func (r *Registry) setUntold(name, tag string, untold bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if untold {
		r.untold[name+":"+tag] = struct{}{}
	} else {
		delete(r.untold, name+":"+tag)
	}
}

func (r *Registry) isUntold(name, reference string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.untold[name+":"+reference]
	return ok
}

// refuse tells the client that its image is there and its delivery is not.
func (r *Registry) refuse(w http.ResponseWriter, p Push, err error) {
	r.log.Error("push not recorded", "repository", p.Repository, "tag", p.Tag, "digest", p.Digest, "error", err)
	status, why := http.StatusServiceUnavailable, ""
	switch fairway.KindOf(err) {
	case fairway.KindFull:
		status, why = http.StatusInsufficientStorage, ": "+err.Error()
	case fairway.KindInternal:
	default:
		why = ": " + err.Error()
	}
	w.Header().Set("Retry-After", "1")
	writeError(w, status, "UNAVAILABLE", fmt.Sprintf("the image %s:%s is stored as %s, but its delivery could not be recorded%s; push it again", p.Repository, p.Tag, p.Digest, why))
}

// upload takes a part of a blob. Only what opens, mounts or closes an upload
// waits for Collect: PATCH adds to a file that Collect does not look at.
func (r *Registry) upload(w http.ResponseWriter, req *http.Request, name, id string) {
	q := req.URL.Query()
	r.disk.touch(q.Get("mount"))
	r.disk.touch(q.Get("digest"))
	if req.Method != http.MethodPatch {
		leave, err := r.enter(req.Context())
		if err != nil {
			writeError(w, http.StatusServiceUnavailable, "UNAVAILABLE", err.Error())
			return
		}
		defer leave()
	}
	if err := r.o.Room(max(req.ContentLength, 0)); err != nil {
		refuseFull(w, err)
		return
	}
	left := r.o.MaxBlob - r.disk.uploaded(name, id)
	body := &limited{body: req.Body, left: left, room: r.o.Room, until: left + 1}
	if req.ContentLength > left {
		body.over = true
	}
	var a *answer
	if !body.over {
		req = req.Clone(req.Context())
		req.Body = body
		a = r.ask(req)
	}
	if body.full != nil {
		r.dropUpload(name, id)
		refuseFull(w, body.full)
		return
	}
	if body.over {
		r.dropUpload(name, id)
		w.Header().Set("Connection", "close") // the rest of the body is not worth reading
		writeError(w, http.StatusRequestEntityTooLarge, "SIZE_INVALID", fmt.Sprintf("the layer is larger than %d bytes", r.o.MaxBlob))
		return
	}
	a.release(w)
}

// uploaded returns how many bytes of an upload are there.
func (d *disk) uploaded(name, id string) int64 {
	if !uploadID.MatchString(id) {
		return 0
	}
	fi, err := os.Stat(d.repo(name, "_uploads", id, "data"))
	if err != nil {
		return 0
	}
	return fi.Size()
}

// uploadID matches what the library makes up, and nothing that leaves its
// directory.
var uploadID = regexp.MustCompile(`^[0-9a-fA-F-]{16,64}$`)

func (r *Registry) dropUpload(name, id string) {
	if !uploadID.MatchString(id) {
		return
	}
	if err := os.RemoveAll(r.disk.repo(name, "_uploads", id)); err != nil {
		r.log.Warn("upload that was too large not removed", "repository", name, "upload", id, "error", err)
	}
}

// limited is a request body that ends with an error when more than left bytes
// come.
type limited struct {
	body io.ReadCloser
	left int64
	over bool

	room  func(n int64) error
	until int64 // of left: then room is asked again
	full  error // what it answered
}

// askEvery is after how many bytes of a layer room is asked for more.
const askEvery = 1 << 20

var errTooLarge = errors.New("the layer is too large")

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	if l.left < l.until {
		if l.full = l.room(askEvery); l.full != nil {
			return 0, l.full
		}
		l.until = l.left - askEvery
	}
	n, err := l.body.Read(p)
	if int64(n) > l.left {
		l.over = true
		return 0, errTooLarge
	}
	l.left -= int64(n)
	return n, err
}

func (l *limited) Close() error { return l.body.Close() }

// referrersTag matches the tags under which clients keep signatures and other
// attachments of an image (OCI distribution 1.1, "Referrers Tag Schema", and
// cosign's): they name no artifact of their own.
var referrersTag = regexp.MustCompile(`^(sha256)-([0-9a-f]{64})(\.[a-z]+)?$`)

// isTag reports whether a manifest's reference is the tag of an artifact.
func isTag(reference string) bool {
	return !strings.Contains(reference, ":") && !referrersTag.MatchString(reference)
}

// answer is a response kept in memory.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// release sends the answer on.
func (a *answer) release(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // a client that is gone is no error of ours
}

// refuseFull refuses what there is no room for. The rest of the body is not
// worth reading.
func refuseFull(w http.ResponseWriter, err error) {
	w.Header().Set("Retry-After", "5")
	w.Header().Set("Connection", "close")
	writeError(w, http.StatusInsufficientStorage, "UNAVAILABLE", err.Error())
}

// writeError answers in the form that registry clients print.
func writeError(w http.ResponseWriter, status int, code, message string) {
	type problem struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	b, _ := json.Marshal(map[string][]problem{"errors": {{code, message}}}) // strings always marshal
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
