package git

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"

	"github.com/fairwaycd/fairway"
)

const agent = "agent=fairway"

// The services that a client may ask for.
const (
	uploadService  = "git-upload-pack"  // clone, fetch
	receiveService = "git-receive-pack" // push
)

// maxFetch is the most bytes of a request to fetch, inflated: some 100 000
// hashes that the client has.
const maxFetch = 8 << 20

type actorKey struct{}

// WithActor says who pushes: it ends up in Push.Actor.
func WithActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

func actor(ctx context.Context) string {
	name, _ := ctx.Value(actorKey{}).(string)
	return name
}

// Handler serves all repositories over git's smart HTTP, as PROJECT.git and
// as PROJECT, below where it is mounted with http.StripPrefix. Whoever mounts
// it authenticates first. Fetches answer in version 0 of the protocol, which
// every git speaks.
func (s *Store) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{project}/info/refs", s.handle(s.serveRefs))
	mux.Handle("POST /{project}/"+uploadService, s.handle(s.serveUpload))
	mux.Handle("POST /{project}/"+receiveService, s.handle(s.serveReceive))
	return mux
}

// handle finds the repository and renders errors as git shows them: lines
// that begin with "remote:".
func (s *Store) handle(f func(http.ResponseWriter, *http.Request, *repo) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		project := fairway.ProjectName(strings.TrimSuffix(q.PathValue("project"), ".git"))
		r, err := s.repo(q.Context(), project)
		if err == nil {
			err = f(w, q, r)
		}
		if err == nil || q.Context().Err() != nil {
			return
		}
		status, ok := statusOf[fairway.KindOf(err)]
		if !ok {
			s.log.Error("git request failed", "project", project, "path", q.URL.Path, "err", err)
			status, err = http.StatusInternalServerError, errors.New("the server failed; its log says why")
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = fmt.Fprintln(w, err) // the client may be gone
	})
}

var statusOf = map[fairway.Kind]int{
	fairway.KindInvalid:     http.StatusBadRequest,
	fairway.KindNotFound:    http.StatusNotFound,
	fairway.KindRefused:     http.StatusForbidden,
	fairway.KindConflict:    http.StatusConflict,
	fairway.KindUnavailable: http.StatusServiceUnavailable,
	fairway.KindFull:        http.StatusInsufficientStorage,
}

func noCache(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-cache, max-age=0, must-revalidate")
}

// serveRefs tells the client which branches there are and what we can do.
func (s *Store) serveRefs(w http.ResponseWriter, q *http.Request, r *repo) error {
	service := q.URL.Query().Get("service")
	var caps string
	switch service {
	case uploadService:
		caps = "multi_ack_detailed no-done side-band side-band-64k ofs-delta shallow deepen-relative no-progress " +
			"allow-tip-sha1-in-want allow-reachable-sha1-in-want symref=HEAD:refs/heads/main object-format=sha1 " + agent
	case receiveService:
		// Without thin packs every pack is complete in itself.
		caps = "report-status delete-refs side-band-64k quiet atomic ofs-delta no-thin object-format=sha1 " + agent
	default:
		return fairway.Errorf(fairway.KindRefused, "only git's smart HTTP protocol is spoken here; use git 1.6.6 or later")
	}
	noCache(w, "application/x-"+service+"-advertisement")
	out := bufio.NewWriter(w)
	e := pktline.NewEncoder(out)
	_ = e.Encodef("# service=%s\n", service) // errors stay in out until Flush
	_ = e.Flush()
	all := *r.refs.Load()
	first := "\x00" + caps
	if h, ok := all.branch("main"); ok && service == uploadService {
		_ = e.Encodef("%s HEAD%s\n", h, first)
		first = ""
	}
	for _, b := range all.branches() {
		h, _ := all.branch(b)
		_ = e.Encodef("%s %s%s%s\n", h, headsPrefix, b, first)
		first = ""
	}
	_ = e.Flush()
	return out.Flush()
}

var errTooLarge = errors.New("the request is too large")

// body returns the request's body, unzipped and bounded. Only git's own
// content type is taken: no page in a browser can send it.
func body(q *http.Request, service string, most int64) (io.Reader, error) {
	if want := "application/x-" + service + "-request"; q.Header.Get("Content-Type") != want {
		return nil, fairway.Errorf(fairway.KindInvalid, "the content type is %q, but %s takes %s", q.Header.Get("Content-Type"), service, want)
	}
	var r io.Reader = q.Body
	switch encoding := q.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(q.Body)
		if err != nil {
			return nil, fairway.Errorf(fairway.KindInvalid, "the body is not gzip, as its header says: %w", err)
		}
		r = z
	default:
		return nil, fairway.Errorf(fairway.KindInvalid, "the body is encoded as %q; only gzip is known", encoding)
	}
	return &bounded{r, most}, nil
}

// bounded fails when more than left bytes are read.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// sideband writes into one channel of a multiplexed answer.
type sideband struct {
	e       *pktline.Encoder
	channel byte
	most    int // bytes of a packet
}

// The channels of a multiplexed answer.
const (
	channelData     = 1
	channelProgress = 2
	channelError    = 3
)

func (s sideband) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		part := p[n:min(len(p), n+s.most-1)]
		if err := s.e.Encode(append([]byte{s.channel}, part...)); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}
