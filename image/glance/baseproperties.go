package glance

// baseProperties describes the properties that the Image API names although
// images need not have them: those of the schema file that Glance ships with.
// Their values are kept as any other property's.
func baseProperties() map[string]*property {
	no := false
	base := map[string]*property{
		"architecture":  {Type: "string", Description: "Architecture of the processor that the operating system is for, such as x86_64"},
		"instance_uuid": {Type: "string", Description: "The server that the image was made of, for information only"},
		"kernel_id":     {Type: orNull("string"), Pattern: uuidPattern, Description: "The image with the kernel, for an image of the format ami"},
		"os_distro":     {Type: "string", Description: "Common name of the operating system's distribution, such as debian"},
		"os_version":    {Type: "string", Description: "Version of the operating system, in its distributor's words"},
		"ramdisk_id":    {Type: orNull("string"), Pattern: uuidPattern, Description: "The image with the ramdisk, for an image of the format ami"},
	}
	for _, p := range base {
		p.Base = &no
	}
	return base
}

// nullable reports whether a property beside those that all images have may be
// null. It is kept as an empty text.
func nullable(name string) bool { return name == "kernel_id" || name == "ramdisk_id" }
