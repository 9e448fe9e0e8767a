"""``python -m vcpu_ladder.postgres``: the commands of ``commands.postgres``."""

from vcpu_ladder.commands.postgres import app

app()
