package registries

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// Push says that a tag was set in a registry elsewhere.
type Push struct {
	Image  string // with the registry's host, without tag
	Tag    string
	Digest string // empty where the sender does not say
	// ID tells this push from another of the same tag, where there is no digest.
	ID    string
	Actor string // who pushed, as the sender says
}

// Artifact returns what was pushed.
func (p Push) Artifact() fairway.Artifact {
	return fairway.Artifact{Image: p.Image, Tag: p.Tag, Digest: p.Digest}
}

// Notification is a request that a vendor's software has sent.
type Notification struct {
	Vendor string
	Header http.Header
	Secret string // out of the address
	Body   []byte // the bytes as they came
}

// The ways in which notifications are refused.
var (
	// ErrSecret says that the sender does not know the secret. It gets no detail.
	ErrSecret = errors.New("the secret is wrong")
	// ErrMalformed says that the body is no JSON object.
	ErrMalformed = errors.New("is not a JSON object")
)

// maxPushes is how many pushes one notification may tell of.
const maxPushes = 1000

// vendor is how one vendor's notifications are read.
type vendor struct {
	name string
	// knows reports whether the sender knows the secret.
	knows func(n Notification, secret string) bool
	// read returns the pushes that the body tells of, or, where it tells of
	// none, why that is so.
	read func(r fairway.Registry, n Notification) (pushes []Push, why string, err error)
}

func vendors() []vendor {
	return []vendor{
		{"distribution", knowsHeader, readDistribution},
		{"harbor", knowsHeader, readHarbor},
		{"dockerhub", knowsAddress, readDockerHub},
		{"github", knowsSignature, readGitHub},
	}
}

// Vendors returns the names of those whose notifications are read.
func Vendors() []string {
	var names []string
	for _, v := range vendors() {
		names = append(names, v.name)
	}
	return names
}

// Read checks the notification's secret and returns the pushes that it tells
// of. Where it tells of none, why says so. Errors: [ErrSecret],
// [ErrMalformed], and of [fairway.KindInvalid] for a body that is none of the
// vendor's, with all that is wrong; KindNotFound for an unknown vendor.
func Read(r fairway.Registry, n Notification) (pushes []Push, why string, err error) {
	all := vendors()
	i := slices.IndexFunc(all, func(v vendor) bool { return v.name == n.Vendor })
	if i < 0 {
		return nil, "", fairway.Errorf(fairway.KindNotFound, "there is no receiver for %s; there are: %s", n.Vendor, strings.Join(Vendors(), ", "))
	}
	if r.Secret == "" || !all[i].knows(n, string(r.Secret)) {
		return nil, "", ErrSecret
	}
	pushes, why, err = all[i].read(r, n)
	if err != nil {
		return nil, "", err
	}
	if len(pushes) > maxPushes {
		return nil, "", fairway.Invalid("body", "", "tells of more than 1000 pushes", "send fewer at once")
	}
	var ps []fairway.Problem
	for i, p := range pushes {
		pushes[i].Actor, pushes[i].ID = clip(p.Actor), clip(p.ID)
		ps = append(ps, fairway.Problems(p.Artifact().Validate())...)
	}
	if err := fairway.InvalidAll(ps); err != nil {
		return nil, "", err
	}
	return pushes, why, nil
}

// equal compares in a time that tells nothing of either.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return hmac.Equal(x[:], y[:])
}

// knowsHeader looks for the secret in the Authorization header: by itself, as
// a bearer token, or as the password of basic authentication.
func knowsHeader(n Notification, secret string) bool {
	header := n.Header.Get("Authorization")
	scheme, rest, _ := strings.Cut(header, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		header = strings.TrimSpace(rest)
	case strings.EqualFold(scheme, "Basic"):
		pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
		if err != nil {
			return false
		}
		_, header, _ = strings.Cut(string(pair), ":")
	}
	return equal(header, secret)
}

// knowsAddress looks for the secret in the address, for senders that can say
// nothing else.
func knowsAddress(n Notification, secret string) bool { return equal(n.Secret, secret) }

// knowsSignature checks the body's HMAC.
func knowsSignature(n Notification, secret string) bool {
	text, ok := strings.CutPrefix(n.Header.Get("X-Hub-Signature-256"), "sha256=")
	sent, err := hex.DecodeString(text)
	if !ok || err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(n.Body)
	return hmac.Equal(sent, mac.Sum(nil))
}

// decode reads the body's object into v. What is of another type than the
// vendor's is an error of [fairway.KindInvalid].
func decode(body []byte, v any) error {
	if body = bytes.TrimSpace(body); len(body) == 0 || body[0] != '{' || !json.Valid(body) {
		return ErrMalformed
	}
	var typed *json.UnmarshalTypeError
	err := json.Unmarshal(body, v)
	if errors.As(err, &typed) {
		return fairway.Invalid(typed.Field, "", "is a "+typed.Value+", which the vendor never sends", "see that the notification comes to the address of its vendor")
	}
	if err != nil { // a time that is none
		return fairway.Invalid("body", "", "cannot be read: "+err.Error(), "see that the notification comes to the address of its vendor")
	}
	return nil
}

// missing says that a body is not the vendor's.
func missing(field, vendor string) error {
	return fairway.Invalid(field, "", "is missing", "see that the notification is one of "+vendor+" and comes to its address")
}
