package fairway

import "context"

// UnpackedImage is an image whose layers lie unpacked in a directory.
type UnpackedImage struct {
	Digest     string   `json:"digest"` // of the manifest for this platform
	Root       string   `json:"root"`   // directory that holds the unpacked file system
	Entrypoint []string `json:"entrypoint,omitempty"`
	Cmd        []string `json:"cmd,omitempty"`
	Env        []string `json:"env,omitempty"`
	WorkingDir string   `json:"workingDir,omitempty"`
	OS         string   `json:"os"`
	Arch       string   `json:"arch"`
}

// ImageStore resolves and fetches images, each with what the project has for
// the registry that it lies in.
type ImageStore interface {
	// Resolve returns the artifact with its digest: that of the tag now.
	// KindNotFound when the registry has no such tag.
	Resolve(ctx context.Context, p ProjectName, a Artifact) (Artifact, error)
	// Unpack fetches the artifact's image by digest and unpacks it once; the
	// second call finds it there. From an index it takes the host's OS and
	// architecture; none there is KindRefused.
	Unpack(ctx context.Context, p ProjectName, a Artifact) (UnpackedImage, error)
}
