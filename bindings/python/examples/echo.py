"""A bot that says again what is said to it.

python echo.py serve                          prints its invitation
donp join $(python echo.py invite)            in another terminal
donp send echo 'hello'
python echo.py serve --join $(donp group invite team)     makes it a member of a group
"""

from donp import AsyncBotMessage, Bot

bot = Bot("echo")


@bot.on_message
async def echo(msg: AsyncBotMessage) -> None:
    await msg.reply(msg.text)


@bot.command("/who")
async def who(msg: AsyncBotMessage) -> None:
    names = [member.name for member in await msg.conversation.members()]
    await msg.reply(", ".join(names))


if __name__ == "__main__":
    bot.run()
