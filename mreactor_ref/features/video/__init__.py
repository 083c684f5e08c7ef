"""The face out of a video: networks that run offline on a CPU, and what is made of their output."""


