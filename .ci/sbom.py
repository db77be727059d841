"""Prints what a build is made of as SPDX 2.3 JSON: python3 .ci/sbom.py BUILD. The same build gives the same text."""
import hashlib
import json
import subprocess
import sys


def introspect(build, what):
    return json.loads(subprocess.run(["meson", "introspect", build, "--" + what], check=True, capture_output=True, text=True).stdout)


def package(name, version, license_id="NOASSERTION"):
    return {"SPDXID": "SPDXRef-" + "".join(c if c.isalnum() else "-" for c in name), "name": name, "versionInfo": version,
            "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": license_id, "licenseDeclared": license_id,
            "copyrightText": "NOASSERTION"}


def main():
    build = sys.argv[1]
    project = introspect(build, "projectinfo")
    own = package("ingot", project["version"], "Apache-2.0")
    found = {d["name"]: d.get("version", "unknown") for d in introspect(build, "dependencies")}
    packages = [own] + [package(name, version) for name, version in sorted(found.items())]
    text = json.dumps(packages, sort_keys=True).encode()
    json.dump({"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "ingot-" + project["version"],
               "documentNamespace": "https://spdx.org/spdxdocs/ingot-" + hashlib.sha256(text).hexdigest(),
               "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": ["Tool: ingot-sbom"]}, "packages": packages,
               "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": own["SPDXID"]}]
               + [{"spdxElementId": own["SPDXID"], "relationshipType": "DEPENDS_ON", "relatedSpdxElement": p["SPDXID"]} for p in packages[1:]]},
              sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
