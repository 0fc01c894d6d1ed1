// Package metadata makes what a guest can learn of itself: the files that are
// served at http://169.254.169.254 and written to config drives, in the layouts
// of OpenStack (openstack/latest/meta_data.json and so on) and of EC2
// (latest/meta-data/…).
//
// [Render] is a pure function from what is known of a server to files by path.
// Further versions are further names of the same folders: [Aliases].
//
// Reference: "Metadata" in Nova's user guide.
package metadata
