"""Whether values are what an OpenAPI document says. Reads {"document", "cases": [[pointer to a schema, value]]}, prints why each is not, or null."""

import json
import sys
from urllib.parse import quote

from jsonschema_rs import Draft202012Validator, ValidationError

given = json.load(sys.stdin)
validators = {}


def validator(pointer):
    if pointer not in validators:
        schema = {"$ref": "#" + quote(pointer, safe="/~"), "unevaluatedProperties": False}
        validators[pointer] = Draft202012Validator({**given["document"], **schema}, validate_formats=True)
    return validators[pointer]


def why_not(pointer, value):
    try:
        validator(pointer).validate(value)
    except ValidationError as error:
        return error.message
    return None


json.dump([why_not(pointer, value) for pointer, value in given["cases"]], sys.stdout)
