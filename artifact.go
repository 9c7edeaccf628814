package fairway

import (
	"regexp"
	"strings"
)

// Artifact is one version of a service: an image and its tag. Digest is empty
// until it has been resolved; what runs is always the digest.
type Artifact struct {
	Image  string `json:"image"`            // repository without tag, e.g. 127.0.0.1:8080/sockshop/carts
	Tag    string `json:"tag"`              // kept as text; "1.0", "007" and "true" stay what they are
	Digest string `json:"digest,omitempty"` // sha256:…
}

var (
	tagPattern    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	imagePattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.:_/-]{0,254}$`)
)

// Validate checks the image's, tag's and digest's grammar (OCI distribution
// specification 1.1, section "Pulling manifests").
func (a Artifact) Validate() error {
	var ps []Problem
	if !imagePattern.MatchString(a.Image) {
		ps = append(ps, Problem{Field: "image", Value: a.Image, Message: "is not an image repository", Remedy: "write HOST/PATH/NAME without a tag, e.g. 127.0.0.1:8080/sockshop/carts"})
	}
	if !tagPattern.MatchString(a.Tag) {
		ps = append(ps, Problem{Field: "tag", Value: a.Tag, Message: "is not an image tag", Remedy: "use 1 to 128 letters, digits, dots, underscores and hyphens"})
	}
	if a.Digest != "" && !digestPattern.MatchString(a.Digest) {
		ps = append(ps, Problem{Field: "digest", Value: a.Digest, Message: "is not a digest", Remedy: "write sha256: and 64 hexadecimal digits"})
	}
	return InvalidAll(ps)
}

// Ref returns IMAGE:TAG@DIGEST when the digest is known, else IMAGE:TAG. Of
// the two, clients go by the digest; the tag is there for people.
func (a Artifact) Ref() string {
	if a.Digest != "" {
		return a.String() + "@" + a.Digest
	}
	return a.String()
}

// IsRef reports whether the image of a container means the artifact: IMAGE:TAG,
// IMAGE:TAG@DIGEST or IMAGE@DIGEST.
func (a Artifact) IsRef(image string) bool {
	image, digest, ok := strings.Cut(image, "@")
	if !ok {
		return image == a.String()
	}
	return digest == a.Digest && (image == a.String() || image == a.Image)
}

// String returns IMAGE:TAG.
func (a Artifact) String() string { return a.Image + ":" + a.Tag }

// Path returns the repository without the registry's host: sockshop/carts for
// 127.0.0.1:8080/sockshop/carts.
func (a Artifact) Path() string {
	host, rest, ok := strings.Cut(a.Image, "/")
	if ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		return rest
	}
	return a.Image
}

// Same reports whether both name the same content: equal digests where both
// are known, else equal image and tag.
func (a Artifact) Same(b Artifact) bool {
	if a.Digest != "" && b.Digest != "" && a.Digest != b.Digest {
		return false
	}
	return a.Image == b.Image && a.Tag == b.Tag
}

// SplitImage splits IMAGE:TAG at the tag's colon. Without a tag it returns an
// empty one; a port in the host is no tag.
func SplitImage(s string) (image, tag string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.Contains(s[i:], "/") {
		return s, ""
	}
	return s[:i], s[i+1:]
}
