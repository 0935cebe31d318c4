"""The templates of config drives that a pool has: listed, shown, saved, brought back, removed."""

from starlette.responses import Response

from roadstead.errors import tame
from roadstead.inventory import names
from roadstead.model import PoolId
from roadstead.serve import answers
from roadstead.serve.bodies import DriveTemplate, FormerVersion
from roadstead.serve.calls import Call
from roadstead.serve.handlers.parameters import Confirm, PoolName, TemplateName, TemplateVersion, must_confirm


async def list_drive_templates(call: Call, pool: PoolName) -> Response:
    """List what config drives of a pool can be made from: the product's templates, and those of the pool, which take
    the place of the product's where they are called like them.
    """
    return answers.record(await call.commands.templates.listed(_id(call, pool)))


async def show_drive_template(
    call: Call, pool: PoolName, template: TemplateName, version: TemplateVersion = None
) -> Response:
    """Show a template with its text, or a former version of it."""
    return answers.record(await call.commands.templates.text(_id(call, pool), template, version))


async def save_drive_template(call: Call, pool: PoolName, template: TemplateName, body: DriveTemplate) -> Response:
    """Keep a text as the newest version of a template, or as a new template; one of which no drive could be made is
    refused. Called like a profile, it is what new drives of that profile begin with, in XenCenter too.
    """
    return answers.record(await call.commands.templates.save(_id(call, pool), template, body.new()))


async def list_drive_template_versions(call: Call, pool: PoolName, template: TemplateName) -> Response:
    """List the versions of a template that are kept, the newest first."""
    return answers.record(await call.commands.templates.history(_id(call, pool), template))


async def restore_drive_template(call: Call, pool: PoolName, template: TemplateName, body: FormerVersion) -> Response:
    """Make a former version of a template the newest one again."""
    return answers.record(await call.commands.templates.restore(_id(call, pool), template, body.version))


async def remove_drive_template(call: Call, pool: PoolName, template: TemplateName, confirm: Confirm = "") -> Response:
    """Remove a template of the pool with all its versions; answers with what is left. Drives stay as they are."""
    id = _id(call, pool)
    must_confirm(confirm, template, f"remove the template {tame(template)} with all its versions")
    await call.commands.templates.remove(id, template)
    return answers.record(await call.commands.templates.listed(id))


def _id(call: Call, name: str) -> PoolId:
    return names.find_pool(call.store, name).id
