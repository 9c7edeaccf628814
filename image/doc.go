// Package image is the client's side of OCI images: it resolves and unpacks
// them for the local platform ([Store]), makes one without Docker ([Pack]),
// pushes it ([Push]), and writes the credentials that image clients read
// ([WriteLogin]).
//
// An unpacked image is a directory per digest:
//
//	DIR/sha256-HEX/image.json   what [fairway.UnpackedImage] says
//	DIR/sha256-HEX/root/        the layers, applied one over the other
//	DIR/.unpack-*               an unpacking under way; removed by NewStore
//
// Nothing in root leads out of it: paths and hard links are resolved inside,
// absolute symbolic links become relative ones, and an image with a link that
// still leads out is refused. Owners, setuid bits, devices and extended
// attributes are dropped: what is in there runs as the user who runs Fairway.
package image
