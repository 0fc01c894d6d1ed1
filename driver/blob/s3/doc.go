// Package s3 is a blob driver that keeps objects in a bucket of any service
// that speaks S3: Amazon's, MinIO, Ceph's RADOS gateway, Garage and others.
//
//	d, err := s3.Open(ctx, s3.Config{
//		Endpoint: "https://s3.example.org", Bucket: "images", Prefix: "cloud1/",
//		AccessKey: "…", SecretKey: "…",
//	})
//
// An object is one key, Config.Prefix followed by the ID, and nothing else is
// kept anywhere, but below .parts/ the uploads in parts that callers have begun. A body of unknown length is cut into parts that go up side by
// side; the object appears when the last request of the upload succeeds, and an
// upload that fails is taken back. What a dead process left under way is not
// visible as an object; [Open] takes back what is older than Config.Abandoned.
//
// A connection that breaks while an object is read is made again where it broke
// off, on the same version of the object.
package s3
