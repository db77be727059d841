#!/bin/sh
# replay.sh PROGRAM FOLDER: all files of a kept corpus.
exec "$1" "$2"/*
