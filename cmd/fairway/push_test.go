package main

import (
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fairwaycd/fairway/image"
)

// otherClient is the stories' command oci-push: an image client that is not
// ours and has the credentials that image clients look for. It pushes ware as
// an image, or as an index for two platforms with an attestation, as build
// tools do:
//
//	oci-push image|index REFERENCE VERSION
func otherClient() {
	if err := pushAs(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func pushAs(kind, reference, version string) error {
	img, err := pack(version, "amd64")
	if err != nil {
		return err
	}
	if kind == "image" {
		return crane.Push(img, reference)
	}
	other, err := pack(version, "arm64")
	if err != nil {
		return err
	}
	proof, err := mutate.Annotations(empty.Image, map[string]string{"of": version}).(v1.Image).Digest()
	if err != nil {
		return err
	}
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: mutate.Annotations(empty.Image, map[string]string{"of": version}).(v1.Image), Descriptor: v1.Descriptor{
			Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
			Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": proof.String()},
		}})
	ref, err := name.ParseReference(reference)
	if err != nil {
		return err
	}
	return remote.WriteIndex(ref, index, remote.WithAuthFromKeychain(authn.DefaultKeychain))
}

func pack(version, arch string) (v1.Image, error) {
	return image.Pack(image.PackRequest{Binary: os.Getenv("WARE"), Name: "ware", Env: map[string]string{"VERSION": version}, Port: 8080, OS: "linux", Arch: arch})
}
