package api

import (
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/fairwaycd/fairway"
)

// HookPrefix is the path below which notifications of registries elsewhere are
// taken: PROJECT/NAME/VENDOR, and /SECRET for a vendor that cannot send it in
// another way.
const HookPrefix = Prefix + "registries/"

// maxHook is the largest notification in bytes.
const maxHook = 4 << 20

// NewHooks takes notifications under [HookPrefix] and hands them to receive,
// which returns once the pushes in them are stored. Senders prove themselves
// by a secret, which receive checks; an error of [fairway.KindUnauthorized]
// is answered without a word of detail. The address may hold the secret and
// is told to nobody.
func NewHooks(receive func(context.Context, Hook) ([]Hooked, error), o ServerOptions) http.Handler {
	s := &server{o: o.withDefaults()}
	h := hooks{s, receive}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+HookPrefix+"{project}/{name}/{vendor}", h.serve)
	mux.HandleFunc("POST "+HookPrefix+"{project}/{name}/{vendor}/{secret}", h.serve)
	return mux
}

type hooks struct {
	*server
	receive func(context.Context, Hook) ([]Hooked, error)
}

// IsHook reports whether a request is a notification. It goes by the path as it
// was sent, as the handler's routes do: one that is only decoded to such a
// path leads elsewhere.
func IsHook(r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), HookPrefix)
	n := strings.Count(rest, "/")
	return ok && r.Method == http.MethodPost && (n == 2 || n == 3)
}

func (h hooks) serve(w http.ResponseWriter, r *http.Request) {
	err := h.take(w, r)
	if err == nil {
		return
	}
	if d := DetailsOf(err); d.Status == http.StatusInternalServerError {
		h.o.Logger.ErrorContext(r.Context(), "a notification of a registry failed", "project", r.PathValue("project"), "registry", r.PathValue("name"), "vendor", r.PathValue("vendor"), "error", err)
	}
	WriteProblem(w, err)
}

// take answers 202 once the pushes are stored, never before.
func (h hooks) take(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHook))
	if err != nil {
		return bodyError(err)
	}
	done, err := h.receive(r.Context(), Hook{
		RegistryName: registryPath(r), Vendor: r.PathValue("vendor"), Secret: r.PathValue("secret"), Header: r.Header, Body: body,
	})
	return answerList(w, http.StatusAccepted, done, err)
}

// Malformed is the error of a notification that is no JSON; it is answered 400.
func Malformed(err error) error {
	return withStatus(http.StatusBadRequest, fairway.Invalid("body", "", err.Error(), "send the body as the vendor's software writes it"))
}
