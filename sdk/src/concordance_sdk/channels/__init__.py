"""Channels: where in its reasoning, its answer or a tool call a completion is.

from concordance_sdk.channels import get_channels

def added(self, event, actions):
    channels = get_channels()
    if channels and channels.num_reasoning >= 200:
        return channels.end_reasoning(actions)
"""

from concordance_sdk.channels.channel_format import ChannelFormat
from concordance_sdk.channels.completion_channels import Channels, get_channels
from concordance_sdk.channels.tags import TagFormat

__all__ = ["ChannelFormat", "Channels", "TagFormat", "get_channels"]
